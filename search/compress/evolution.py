"""A plan changed a little at a time, as long as the network pruned by all of it loses less.

The knapsack adds up what layers lose alone. Here whole plans are judged, by the loss at one shot on
the images of a calibration, so what layers lose together counts. This is the search-based mapping of
schemes to layers (Gong et al., arXiv 2111.11581) with evolution where they learn a policy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from latency.estimate.lookup_table import TableEstimator
from latency.graph import NetworkGraph
from search.compress.calibration import Calibration
from search.finalize.densities import (
    AllocatedDensities,
    AllocatedLayer,
    layer_options,
    prunable_layers,
    with_layers,
)
from search.finalize.layer_distortion import LayerDistortion
from search.space.sparsity import Sparsity

TRIALS = 150  # whole plans that are judged
_TRIES = 50  # draws of a change that keeps the budget, for each of them
_CHANGED = 2  # layers that a change moves: one can pay for the other


class Evolution:
    """Hill climbing by random changes that keep the budget.

    Args:
        graph: the network, dense, in the stock regime.
        estimator: of the target.
        losses: what layers lose alone; only options are left that no other beats in both.
        calibration: judges whole plans.
        options: what a layer can be beside dense.
    """

    def __init__(
        self,
        graph: NetworkGraph,
        estimator: TableEstimator,
        losses: Mapping[str, LayerDistortion],
        calibration: Calibration,
        options: Sequence[Sparsity],
    ) -> None:
        self._graph, self._estimator, self._losses = graph, estimator, losses
        self._calibration, self._options = calibration, options

    def improve(self, start: AllocatedDensities, budget_ms: float, seed: int) -> AllocatedDensities:
        """Return a plan within the budget whose loss at one shot is at most that of `start`.

        Its lower bound is that of `start`: of the sum of what layers lose alone.
        """
        rng = np.random.default_rng(seed)
        choices = self._choices(start)
        best, least = start, self._calibration.loss(start.chosen)
        for _ in range(TRIALS):
            candidate = self._changed(best, choices, budget_ms, rng)
            if candidate is None:
                break
            loss = self._calibration.loss(candidate.chosen)
            if loss <= least:
                best, least = candidate, loss
        return best

    def _choices(self, start: AllocatedDensities) -> list[list[AllocatedLayer]]:
        """Return what each layer can be, priced in the regime of the plan."""
        specs = prunable_layers(self._graph, start.prediction.regime)
        return [
            layer_options(
                layer.layer,
                specs[layer.layer],
                self._estimator,
                self._losses[layer.layer],
                self._options,
            )
            for layer in start.layers
        ]

    def _changed(
        self,
        plan: AllocatedDensities,
        choices: Sequence[Sequence[AllocatedLayer]],
        budget_ms: float,
        rng: np.random.Generator,
    ) -> AllocatedDensities | None:
        """Return a plan within the budget that differs in a few layers; None where none is found."""
        for _ in range(_TRIES):
            layers = list(plan.layers)
            for index in rng.permutation(len(layers))[:_CHANGED].tolist():
                layers[index] = choices[index][int(rng.integers(len(choices[index])))]
            if tuple(layers) == plan.layers:
                continue
            graph = with_layers(self._graph, {layer.layer: layer.sparsity for layer in layers})
            prediction = self._estimator.predict(graph)
            if prediction.high_ms <= budget_ms:
                return replace(
                    plan,
                    graph=graph,
                    layers=tuple(layers),
                    prediction=prediction,
                    distortion=sum(layer.distortion for layer in layers),
                )
        return None
