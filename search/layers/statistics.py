"""Batch norm statistics taken anew from images, before a network is judged or exported.

While a network trains, its running statistics trail behind its weights: by some ten steps with the
usual momentum. In a short training on few images that is the whole training, and a network that has
learnt everything answers at random in evaluation mode.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


@torch.no_grad()
def restate_norms(
    network: nn.Module, forward: Callable[[Tensor], object], batches: Iterable[Tensor]
) -> None:
    """Set the running statistics of every batch norm to the means over `batches`.

    Args:
        network: its mode is restored; nothing but the statistics changes.
        forward: runs the network on a batch.
        batches: images (B, C, H, W), of equal size so that all images count alike.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    was_training = network.training
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch: a plain mean over all batches since the reset
    network.train()
    for batch in batches:
        forward(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.train(was_training)
