"""Plans of a network that fill a budget and that nobody has chosen: to hold estimates against."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from latency.operator import SparsityPattern
from search.compress.planner import Planner
from search.finalize.densities import AllocatedDensities, allocate_densities
from search.finalize.layer_distortion import LayerDistortion

_SPREAD = 1.5  # deviation of the logarithms of what layers are pretended to lose


@dataclass(frozen=True, kw_only=True)
class PretendedLosses:
    """A layer that is pretended to lose `scale` times the share of its groups that is dropped."""

    real: LayerDistortion  # which groups there are
    scales: Mapping[SparsityPattern, float]

    def reached(self, pattern: SparsityPattern, density: float) -> float:
        """Return the fraction of groups that training towards a density keeps."""
        return self.real.reached(pattern, density)

    def distortion(self, pattern: SparsityPattern, density: float) -> float:
        """Return what is pretended."""
        return 0.0 if pattern is SparsityPattern.DENSE else self.scales[pattern] * (1.0 - density)


def drawn_plan(
    planner: Planner, losses: Mapping[str, LayerDistortion], rng: np.random.Generator
) -> AllocatedDensities:
    """Return the plan that the knapsack finds best for losses that are drawn.

    So it is within the budget and fills it as any plan does, but puts the zeros elsewhere.
    """
    pretended = {
        layer: PretendedLosses(
            real=real,
            scales={pattern: rng.lognormal(0.0, _SPREAD) for pattern in SparsityPattern},
        )
        for layer, real in losses.items()
    }
    return allocate_densities(
        planner.graph, planner.estimator, pretended, planner.budget_ms, planner.options
    )
