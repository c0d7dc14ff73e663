"""Distillation: a network learns what another one says beside the labels.

Hinton et al., "Distilling the Knowledge in a Neural Network", arXiv 1503.02531, section 2: with the
logits z of the network and v of the teacher, both over a temperature T,

    loss = (1 - weight) * loss of the labels + weight * T^2 * KL(softmax(v / T) || softmax(z / T)),

where T^2 keeps the gradient of the second term as large as at a temperature of 1.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True, eq=False)
class Teacher:
    """A trained network, and how much is learnt from it.

    Raises:
        ValueError: the weight is not above 0 and at most 1, or the temperature not above 0.
    """

    network: nn.Module  # used as in evaluation, never trained
    weight: float = 0.5
    temperature: float = 4.0

    def __post_init__(self) -> None:
        if not 0.0 < self.weight <= 1.0:
            raise ValueError(f"teacher: weight must be above 0 and at most 1, got {self.weight}")
        if not self.temperature > 0.0:
            raise ValueError(f"teacher: temperature must be above 0, got {self.temperature}")
        self.network.eval()

    def loss(self, of_labels: Tensor, logits: Tensor, images: Tensor) -> Tensor:
        """Return the loss of both.

        Args:
            of_labels: loss of the labels.
            logits: (N, classes) of the network that learns.
            images: (N, C, H, W) that it saw.
        """
        with torch.no_grad():
            taught = self.network(images).float()
        scale = self.temperature
        divergence = F.kl_div(
            F.log_softmax(logits / scale, dim=1),
            F.log_softmax(taught / scale, dim=1),
            reduction="batchmean",
            log_target=True,
        )
        return (1.0 - self.weight) * of_labels + self.weight * scale**2 * divergence
