"""LayerDistortion: what a layer loses as one of its options. Estimates of it can be exchanged."""

from collections.abc import Sequence
from typing import Protocol

from latency.operator import SparsityPattern
from search.layers.patterns import kept_groups


class LayerDistortion(Protocol):
    """One layer of a trained network, pruned to a pattern and a density as training prunes it.

    The distortions of the layers of a network are added, so all have to be in one unit.
    """

    def reached(self, pattern: SparsityPattern, density: float) -> float:
        """Return the fraction of groups that training towards a density keeps."""
        ...

    def distortion(self, pattern: SparsityPattern, density: float) -> float:
        """Return what is lost, zero or more; zero for a dense layer."""
        ...


def reached_density(counts: Sequence[int], density: float) -> float:
    """Return the fraction of groups that training towards a density keeps.

    It is a whole number of groups in each part, to four places, as operators say it. Training
    towards what is returned keeps as many.

    Args:
        counts: groups of each part of the layer.
        density: that is aimed at.
    """
    return round(sum(kept_groups(count, density) for count in counts) / sum(counts), 4)
