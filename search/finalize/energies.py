"""How much of a layer is lost when it is pruned, from the energy of its groups of weights.

A group is what becomes zero together: a weight, or a block of weights. The weakest go first, and a
layer that keeps a share s of its energy (the sum of its squared weights) is distorted by -log(s).

That is the measure behind the LAMP scores (Lee et al., arXiv 2010.07611) by which training ranks
weights across layers: the score of a weight is its energy over that of the weights of its layer
that are not smaller, and so what -log(s) grows by when it goes, to first order. Every layer has
the same share, whatever its size and scale: a small one that is starved starves the network too.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from latency.operator import BLOCK_ROWS, SparsityPattern
from search.finalize.layer_distortion import reached_density
from search.layers.patterns import kept_groups

Floats = npt.NDArray[np.float64]

GROUPED_PATTERNS = (SparsityPattern.UNSTRUCTURED, SparsityPattern.BLOCK)


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerEnergies:
    """Energies of the best groups of a layer, for each pattern one array per part of the layer.

    That of the best n groups of a part is at index n - 1.
    """

    best: Mapping[SparsityPattern, tuple[Floats, ...]]

    def reached(self, pattern: SparsityPattern, density: float) -> float:
        """Return the fraction of groups that training towards a density keeps."""
        if pattern is SparsityPattern.DENSE:
            return 1.0
        return reached_density([len(part) for part in self.best[pattern]], density)

    def distortion(self, pattern: SparsityPattern, density: float) -> float:
        """Return -log of the share of the energy that a density keeps; 0 for a layer of zeros.

        As many groups of each part stay as in training.
        """
        if pattern is SparsityPattern.DENSE:
            return 0.0
        parts = self.best[pattern]
        total = sum(float(best[-1]) for best in parts)
        kept = sum(float(best[kept_groups(len(best), density) - 1]) for best in parts)
        return 0.0 if total == 0.0 else math.log(total / kept)


def layer_energies(weights: Sequence[npt.ArrayLike]) -> LayerEnergies:
    """Return the energies of a layer, given as one array of weights or more, each (out, ...).

    A factorized reduce has two: it is one layer for the table, and two that are pruned.

    Raises:
        ValueError: there are no weights, or some that are not finite.
    """
    arrays = [np.square(np.asarray(array, dtype=np.float64)) for array in weights]
    if not arrays or not all(array.size for array in arrays):
        raise ValueError("energies: a layer needs weights")
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError("energies: weights must be finite")
    groups = {
        SparsityPattern.UNSTRUCTURED: [array.ravel() for array in arrays],
        SparsityPattern.BLOCK: [_blocks(array) for array in arrays],
    }
    return LayerEnergies(
        best={
            pattern: tuple(np.cumsum(np.sort(part)[::-1]) for part in parts)
            for pattern, parts in groups.items()
        }
    )


def _blocks(squares: Floats) -> Floats:
    """Return the sums over BLOCK_ROWS adjacent outputs; the last block may have fewer."""
    rows = squares.reshape(len(squares), -1)
    return np.add.reduceat(rows, np.arange(0, len(rows), BLOCK_ROWS), axis=0).ravel()
