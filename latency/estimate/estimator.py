"""What the search and the service ask: what an operator costs, how long a network takes."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from latency.graph import NetworkGraph
from latency.operator import OperatorSpec, Regime
from latency.table import LatencyTable


class PriceSource(StrEnum):
    """Where a price comes from; the worst one decides."""

    MEASURED = "measured"  # a row of the table
    INTERPOLATED = "interpolated"  # between two rows that bracket it
    ESTIMATED = "estimated"  # a model fitted on the rows


@dataclass(frozen=True, kw_only=True)
class Price:
    """Marginal cost of one operator, before calibration."""

    ns: float
    spread_ns: float  # half width of the 90 % interval
    source: PriceSource


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Latency of a network, with the 90 % interval, and what its operators' prices rest on."""

    latency_ms: float
    low_ms: float
    high_ms: float
    measured: int  # operators by source of price; operators that the runtime absorbs not counted
    interpolated: int
    estimated: int
    regime: Regime = Regime.STOCK  # in which the network is that fast


class LatencyEstimator(Protocol):
    """Prices operators and networks of one target."""

    @property
    def table(self) -> LatencyTable:
        """The table version that every answer rests on."""
        ...

    def price(self, spec: OperatorSpec) -> Price:
        """Return the marginal cost of one operator."""
        ...

    def predict(self, graph: NetworkGraph) -> Prediction:
        """Return the latency of a whole network, in the fastest of its forms."""
        ...

    def fastest_form(self, graph: NetworkGraph) -> NetworkGraph:
        """Return the network in the regime in which it is fastest."""
        ...
