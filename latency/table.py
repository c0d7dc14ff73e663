"""LatencyTable: the rows of one target, with calibration and published error; immutable."""

from dataclasses import dataclass

from latency.operator import OperatorSpec, Regime
from latency.target import Target


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """Marginal cost of one operator on one target."""

    spec: OperatorSpec
    median_ns: float
    spread_ns: float  # half width of the 90 % interval of the median
    samples: int
    method: str
    measured_at: str  # ISO 8601 with offset
    unstable: str = ""  # why the samples say less than they should; empty where they are good


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Latency of a network = intercept_ns + slope * (sum of its rows), from whole networks.

    `sigma` is the relative standard deviation of what the line leaves unexplained.
    """

    slope: float = 1.0
    intercept_ns: float = 0.0
    sigma: float = 0.0
    networks: int = 0  # how many networks it was fitted on


@dataclass(frozen=True, kw_only=True)
class PublishedError:
    """How wrong the table is on networks that were held out from calibration."""

    networks: int
    mape: float  # mean absolute percentage error, as a fraction
    within_5: float  # fraction of networks whose prediction is within 5 %
    within_10: float
    spearman: float  # rank correlation; NaN is never stored: 0.0 with fewer than 3 networks
    worst: float  # largest absolute percentage error, as a fraction

    def label(self) -> str:
        """Return a short text for people."""
        return f"mean error {self.mape:.1%}, worst {self.worst:.1%}, on {self.networks} networks"


@dataclass(frozen=True, kw_only=True)
class LatencyTable:
    """One version of the table of one target.

    A target with the operator library has rows of both regimes, and a network is executed in one
    of them; each has its own calibration. `library` is None where only stock networks were timed.
    """

    target: Target
    version: int
    rows: tuple[TableRow, ...]
    calibration: Calibration = Calibration()
    error: PublishedError | None = None
    library: Calibration | None = None
    library_error: PublishedError | None = None

    def calibration_of(self, regime: Regime) -> Calibration:
        """Return the calibration of networks of one regime.

        Raises:
            ValueError: no network of that regime was ever timed on this target.
        """
        if regime is Regime.STOCK:
            return self.calibration
        if self.library is None:
            raise ValueError("latency table: no network was timed with the operator library")
        return self.library
