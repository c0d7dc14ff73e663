"""What the weights that leave a layer are worth to the loss, by its derivatives.

To second order the loss changes by sum(g * d) + sum(h * d * d) / 2 when weights change by d. Pruning
changes a weight w by -w. First order takes |g * w| of each (Molchanov et al., arXiv 1611.06440);
second order takes the diagonal alone (LeCun et al., Optimal Brain Damage), with the empirical Fisher
information, the mean of squared gradients of single images, for h (Theis et al., arXiv 1801.05787).
Which weights leave is not asked here: training masks by magnitude.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from latency.operator import SparsityPattern
from search.compress.calibration import Calibration
from search.finalize.energies import GROUPED_PATTERNS
from search.finalize.layer_distortion import reached_density
from search.layers.patterns import group_scores, group_sizes, kept_groups
from search.layers.sparse import SparseLayer, sparse_layers

Floats = npt.NDArray[np.float64]

_BATCH = 64  # images whose mean loss is differentiated at once, for the first order
_SINGLES = 128  # images that are differentiated one by one, for the second


@dataclass(frozen=True, kw_only=True, eq=False)
class DroppedWorth:
    """Worth of the groups that a layer drops, for each pattern one array per part of the layer.

    That of all but the n largest groups of a part is at index n.
    """

    dropped: Mapping[SparsityPattern, tuple[Floats, ...]]

    def reached(self, pattern: SparsityPattern, density: float) -> float:
        """Return the fraction of groups that training towards a density keeps."""
        if pattern is SparsityPattern.DENSE:
            return 1.0
        return reached_density([len(part) - 1 for part in self.dropped[pattern]], density)

    def distortion(self, pattern: SparsityPattern, density: float) -> float:
        """Return what the groups are worth that a density drops."""
        if pattern is SparsityPattern.DENSE:
            return 0.0
        parts = self.dropped[pattern]
        return sum(float(part[kept_groups(len(part) - 1, density)]) for part in parts)


def first_order(calibration: Calibration) -> dict[str, DroppedWorth]:
    """Return |g * w| of what each layer drops, g the gradient of the mean loss, by operator."""
    layers = sparse_layers(calibration.network)
    batches = list(calibration.gradients(layers, _BATCH))
    means = [torch.stack(found).mean(dim=0) for found in zip(*batches, strict=True)]
    worth = {
        path: (mean * layer.weight.detach()).abs()
        for (path, layer), mean in zip(layers.items(), means, strict=True)
    }
    return _by_operator(calibration, worth)


def second_order(calibration: Calibration) -> dict[str, DroppedWorth]:
    """Return g * g * w * w / 2 of what each layer drops, in the mean over images, by operator."""
    layers = sparse_layers(calibration.network)
    few = Calibration(calibration.network, calibration.examples.sample(_SINGLES))
    squares = [torch.zeros_like(layer.weight) for layer in layers.values()]
    for found in few.gradients(layers, 1):
        for total, gradient in zip(squares, found, strict=True):
            total.add_(gradient.square(), alpha=1.0 / len(few.examples))
    worth = {
        path: total * layer.weight.detach().square() / 2
        for (path, layer), total in zip(layers.items(), squares, strict=True)
    }
    return _by_operator(calibration, worth)


def _by_operator(calibration: Calibration, worth: Mapping[str, Tensor]) -> dict[str, DroppedWorth]:
    return {
        name: DroppedWorth(
            dropped={
                pattern: tuple(_dropped(part, worth[path], pattern) for path, part in parts.items())
                for pattern in GROUPED_PATTERNS
            }
        )
        for name, parts in calibration.operators.items()
    }


def _dropped(layer: SparseLayer, worth: Tensor, pattern: SparsityPattern) -> Floats:
    """Return what all groups but the n largest are worth together, n from 0 to all of them.

    Args:
        layer: whose groups are ranked by their magnitudes.
        worth: of each weight, zero or more.
        pattern: what leaves together.
    """
    weight = layer.weight.detach()
    largest_first = group_scores(weight, pattern).flatten().argsort(descending=True, stable=True)
    sizes = group_sizes(weight.shape, pattern).to(worth.device)
    groups = (group_scores(worth, pattern) * sizes).flatten()[largest_first]
    found = groups.double().cpu().numpy()
    # Summed from the smallest group on: the last entry is an exact zero.
    return np.append(np.cumsum(found[::-1])[::-1], 0.0)
