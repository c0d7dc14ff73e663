"""What the search and the service ask: what an operator costs, how long a network takes."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from latency.graph import NetworkGraph
from latency.operator import OperatorSpec, Regime
from latency.table import LatencyTable


class PriceSource(StrEnum):
    """Where a price comes from, the best first."""

    MEASURED = "measured"  # a row of the table
    TRANSFERRED = "transferred"  # a row of a similar target, rescaled (`latency.estimate.transfer`)
    INTERPOLATED = "interpolated"  # between rows that bracket it
    ESTIMATED = "estimated"  # a model fitted on rows of its family
    ASSUMED = "assumed"  # the device's roofline, corrected by whatever rows there are


@dataclass(frozen=True, kw_only=True)
class Price:
    """Marginal cost of one operator, before calibration."""

    ns: float
    spread_ns: float  # half width of the 90 % interval
    source: PriceSource


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Latency of a network, with the 90 % interval, and what it rests on."""

    latency_ms: float
    low_ms: float
    high_ms: float
    measured: int  # operators by source of price; operators that the runtime absorbs not counted
    transferred: int
    interpolated: int
    estimated: int
    assumed: int
    regime: Regime  # in which the network is that fast
    table_version: int
    target_fingerprint: str  # of the device and setting that the table is of


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
