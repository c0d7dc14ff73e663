"""What a report says, as plain values: the JSON form of `edgewright tables report` and `diff`.

Times of networks are milliseconds, costs of operators nanoseconds. Errors are fractions of what
was measured, positive where the table promised too much time.
"""

from dataclasses import dataclass

from latency.operator import Regime
from latency.table import Calibration, PublishedError

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class JudgedNetwork:
    """A network that the calibration has not seen: what the table says and what was measured."""

    name: str
    regime: Regime
    measured_ms: float
    predicted_ms: float
    low_ms: float  # of the 90 % interval of the prediction
    high_ms: float
    error: float  # predicted / measured - 1
    again_ms: float | None = None  # measured another time, in another job

    @property
    def is_inside(self) -> bool:
        """Whether the measured latency is inside of the interval."""
        return self.low_ms <= self.measured_ms <= self.high_ms


@dataclass(frozen=True, kw_only=True)
class HostAgreement:
    """How well the host agrees with itself: no prediction can be better than that."""

    networks: int  # that were measured twice
    mape: float
    within_5: float
    within_10: float


@dataclass(frozen=True, kw_only=True)
class RegimeAccuracy:
    """How right the table is on networks of one regime; the worst ones come first."""

    regime: Regime
    calibration: Calibration
    error: PublishedError | None  # None where no held-out network was measured
    median_error: float | None = None  # of the absolute errors
    bias: float | None = None  # mean of the signed errors
    inside_interval: float | None = None  # share of networks inside of their 90 % interval
    processes_apart: float | None = None  # median over networks of (slowest / fastest process - 1)
    host: HostAgreement | None = None  # None where no network was measured twice
    disturbed: int = 0  # more networks, left out: something else used the machine meanwhile
    undisturbed: PublishedError | None = None  # of the undisturbed ones, where others count too
    networks: tuple[JudgedNetwork, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RowCount:
    """How many rows the table has of one kind."""

    family: str
    regime: Regime
    pattern: str
    density: float
    rows: int


@dataclass(frozen=True, kw_only=True)
class Gap:
    """An operator that is needed and has no row of its own."""

    operator: str
    source: str  # where its price comes from; "missing" where it has none
    ns: float | None
    spread_ns: float | None  # half width of the 90 % interval


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Which rows there are, and what is needed beside them."""

    rows: tuple[RowCount, ...]
    needed: int  # distinct operators
    measured: int  # of them, with a row of their own
    gaps: tuple[Gap, ...]  # the others, the most uncertain first


@dataclass(frozen=True, kw_only=True)
class RowAge:
    """When the rows were measured, by the clocks of the devices; days before the report."""

    oldest_at: str
    newest_at: str
    median_days: float
    oldest_days: float


@dataclass(frozen=True, kw_only=True)
class Remark:
    """An operator with a reason to doubt it."""

    operator: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class SparsityGain:
    """What sparsity is worth for one operator: ratios of times, above 1 where it pays."""

    operator: str  # with pattern and density
    shape: str  # the same operator dense, by stock kernels
    family: str
    regime: Regime
    pattern: str
    density: float
    ns: float
    dense_ns: float
    dense_source: str  # where the price of the dense operator comes from
    gain: float  # over the dense operator by stock kernels
    gain_low: float  # 90 % interval
    gain_high: float
    compact: str  # a dense stock operator with about as many weights: fewer channels
    compact_ns: float | None
    compact_source: str
    compact_gain: float | None  # over the compacted operator
    int8_source: str  # empty: no int8 row tells of it
    int8_gain: float | None  # over the dense stock operator in int8


@dataclass(frozen=True, kw_only=True)
class GainSummary:
    """The gains of all operators of one family, pattern and density."""

    family: str
    regime: Regime
    pattern: str
    density: float
    operators: int
    gain: float  # geometric mean
    together: float  # all of them dense over all of them sparse: large operators count more
    compact_gain: float | None  # geometric mean over operators that have one
    int8_gain: float | None
    faster: float  # share of operators that are faster than dense by more than their interval


@dataclass(frozen=True, kw_only=True)
class SparsityReport:
    """Does sparsity pay on this board?"""

    verdict: str
    summaries: tuple[GainSummary, ...]
    gains: tuple[SparsityGain, ...]


@dataclass(frozen=True, kw_only=True)
class TableReport:
    """Everything that is known about how right a table is."""

    schema: int = SCHEMA
    target: str  # label
    target_fingerprint: str
    version: int
    made_at: str  # of the report, ISO 8601
    rows: int
    accuracy: tuple[RegimeAccuracy, ...]
    coverage: Coverage
    age: RowAge | None  # None without rows
    unstable: tuple[Remark, ...]  # rows whose samples say less than they should
    quarantined: tuple[Remark, ...]  # measured, but in no row
    imported: int  # rows that rest on an imported file, not on an agent of this service
    sparsity: SparsityReport
    withdrawn_at: str | None = None  # ISO 8601: since then nothing of the table is to be trusted


@dataclass(frozen=True, kw_only=True)
class Change:
    """One operator in two tables."""

    operator: str
    family: str
    before_ns: float
    after_ns: float
    ratio: float  # after / before: above 1 is slower
    low: float  # 99 % interval
    high: float

    @property
    def is_significant(self) -> bool:
        """Whether the interval excludes that nothing has changed."""
        return not self.low <= 1.0 <= self.high


@dataclass(frozen=True, kw_only=True)
class FamilyChange:
    """The operators of one family in two tables."""

    family: str
    operators: int
    ratio: float  # geometric mean
    low: float  # 99 % interval
    high: float
    slower: int  # operators that changed significantly
    faster: int


@dataclass(frozen=True, kw_only=True)
class NetworkChange:
    """Predictions of whole networks of one regime by two tables."""

    regime: Regime
    networks: int
    ratio: float  # geometric mean of after / before
    smallest: float
    largest: float


@dataclass(frozen=True, kw_only=True)
class TableDifference:
    """What is different in another table: op by op, by family, for whole networks."""

    schema: int = SCHEMA
    before: str  # label of the target, and version
    after: str
    settings: tuple[str, ...]  # what differs between the two targets, in words
    unrest: float  # operators scatter by so many times what their rows can tell; at least 1
    families: tuple[FamilyChange, ...]
    changes: tuple[Change, ...]  # operators in both, the largest change first
    only_before: tuple[str, ...]  # labels
    only_after: tuple[str, ...]
    not_compared: tuple[Remark, ...]  # operators in both whose ratio would say nothing, and why
    networks: tuple[NetworkChange, ...]
    networks_not_compared: tuple[str, ...] = ()  # how many of which regime, and why
    withdrawn: tuple[str, ...] = ()  # which of the two tables was withdrawn, and when
