"""From a trained network to a plan of its layers: by which estimate, and by which way of choosing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from latency.estimate.lookup_table import TableEstimator
from latency.graph import NetworkGraph
from search.compress.calibration import Calibration
from search.compress.distortions import ESTIMATES
from search.compress.evolution import Evolution
from search.compress.pattern_rule import pattern_rule
from search.compress.request import Distortion, Mapping
from search.compress.uniform import allocate_uniformly
from search.data.batches import Examples
from search.finalize.choose_layers import plan_of
from search.finalize.densities import AllocatedDensities, allocate_densities
from search.finalize.layer_plan import LayerPlan
from search.space.sparsity import Sparsity


@dataclass(frozen=True, kw_only=True)
class Planner:
    """Plans the layers of one network under one budget."""

    graph: NetworkGraph  # dense, in the stock regime
    estimator: TableEstimator
    budget_ms: float  # what the upper end of the predicted interval may be
    options: Sequence[Sparsity]  # what a layer can be beside dense
    examples: Examples  # training images that losses are taken on
    distortion: Distortion
    mapping: Mapping
    seed: int

    def __call__(self, network: nn.Module) -> LayerPlan:
        """Return the plan of a trained network, nothing pruned yet.

        Raises:
            BudgetInfeasibleError: no plan of this kind is within the budget.
        """
        found = self.allocate(Calibration(network, self.examples))
        plan = plan_of(network, found, self.budget_ms)
        return replace(plan, facts={**plan.facts, **self._facts})

    def has_made(self, plan: dict[str, Any]) -> bool:
        """Whether a plan, as plain JSON values, is one that this would make again."""
        return all(plan["facts"].get(name) == value for name, value in self._facts.items())

    def check(self, network: nn.Module) -> None:
        """Refuse a budget that no plan meets: a matter of prices, whatever the weights are.

        Raises:
            BudgetInfeasibleError: as a call.
        """
        mapping = Mapping.SEARCH if self.mapping is Mapping.EVOLUTION else self.mapping
        cheap = replace(self, distortion=Distortion.ENERGY, mapping=mapping)
        cheap.allocate(Calibration(network, self.examples))

    def allocate(self, calibration: Calibration) -> AllocatedDensities:
        """Return what the operators of a network are to be; errors as of a call."""
        losses = ESTIMATES[self._distortion](calibration)
        asked = (self.graph, self.estimator, losses, self.budget_ms, self.options)
        if self.mapping is Mapping.UNIFORM:
            return allocate_uniformly(*asked)
        if self.mapping is Mapping.RULE:
            return allocate_densities(*asked, allows=pattern_rule(self.options))
        found = allocate_densities(*asked)
        if self.mapping is Mapping.SEARCH:
            return found
        evolution = Evolution(self.graph, self.estimator, losses, calibration, self.options)
        return evolution.improve(found, self.budget_ms, self.seed)

    @property
    def _facts(self) -> dict[str, Any]:
        return {
            "budget_ms": self.budget_ms,
            "table_version": self.estimator.table.version,
            "distorted_by": self._distortion.value,
            "mapping": self.mapping.value,
        }

    @property
    def _distortion(self) -> Distortion:
        # One density leaves nothing to weigh, and one-shot losses at every density that is tried
        # would take minutes.
        return Distortion.ENERGY if self.mapping is Mapping.UNIFORM else self.distortion
