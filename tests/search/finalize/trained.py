"""Networks as a training leaves them, without one."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from latency.operator import SparsityPattern
from search.finalize.prune import apply_masks, prune, silence_dead_channels
from search.layers.sparse import set_pattern

N = TypeVar("N", bound=nn.Module)


def as_if_trained(make: Callable[[], N], density: float, pattern: str) -> N:
    """Return a network for 8x8 images, whose weights, norms and statistics are not their defaults."""
    torch.manual_seed(0)
    network = make()
    set_pattern(network, SparsityPattern(pattern))
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
    if density < 1.0:
        prune(network, density)
        silence_dead_channels(network)
        apply_masks(network)
    network.train()
    for _ in range(3):
        network(torch.randn(16, 1, 8, 8))
    return network.eval()
