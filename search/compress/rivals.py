"""Forms of a network that could meet its budget without zeros: narrower ones, and ones in int8."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from latency.graph import NetworkGraph
from search.compress.stage import Compression
from search.engine.problem import PricedDevice
from search.finalize.densities import DENSE
from search.space.networks import AnyGenotype, narrower_forms, network_graph
from search.space.sparsity import PlannedEstimator


@dataclass(frozen=True, kw_only=True)
class WidthsOfParent:
    """The widths of a network under its budget, a `WidthSpace`; one from a file has its own only."""

    compression: Compression

    @property
    def devices(self) -> Sequence[PricedDevice]:
        """The one device of the request; nothing is planned to be sparse."""
        owner = self.compression
        prices = PlannedEstimator(owner.estimator, DENSE, owner.graph)
        budget = owner.request.budget
        device = PricedDevice(device=budget.device, estimator=prices, budget_ms=budget.tightened_ms)
        return (device,)

    def graph(self, genotype: AnyGenotype) -> NetworkGraph:
        """Return the network for stock operators, every weight kept."""
        return network_graph(genotype, self.compression.dataset.task)

    def widths(self, genotype: AnyGenotype) -> Iterator[AnyGenotype]:
        """Yield the network itself, then the same with fewer and fewer channels."""
        return narrower_forms(genotype)
