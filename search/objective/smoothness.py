"""Regularised objective of a pruned network: its answers may not depend on noise in the image.

PR-DARTS regularises the pruned objective against unstable gradients, says its abstract; its text was
not at hand. The regulariser here is the one that the authors' code carries over from HYDRA (Sehwag et
al., arXiv 2002.10509), there with weight 6 and noise 0.25 and, in the released state, computed and then
overwritten: the divergence of the answers on noisy images from those on clean ones, as in stability
training (Zheng et al., arXiv 1604.04326).

Clean and noisy images make one batch, twice as long as its labels. Shape suffixes: B clean images, C
classes.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def beside_noise(images: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    """Return the images (B, ...) and behind them the same with Gaussian noise, (2 B, ...).

    Args:
        images: as the network is trained on.
        deviation: standard deviation of the noise, in units of the images.
        generator: on the processor; the same noise on every device.
    """
    noise = torch.randn(images.shape, generator=generator).to(images.device)
    return torch.cat([images, images + deviation * noise])


def regularised_loss(logits: Tensor, labels_B: Tensor, weight: float) -> Tensor:
    """Return the cross-entropy on clean images, and `weight` times the divergence; a scalar.

    Args:
        logits: (2 B, C), of `beside_noise`.
        labels_B: of the clean images.
        weight: of the mean divergence of noisy from clean answers.
    """
    clean_BC, noisy_BC = logits.chunk(2)
    wanted, found = torch.log_softmax(clean_BC, dim=1), torch.log_softmax(noisy_BC, dim=1)
    divergence = F.kl_div(found, wanted, reduction="batchmean", log_target=True)
    return F.cross_entropy(clean_BC, labels_B) + weight * divergence
