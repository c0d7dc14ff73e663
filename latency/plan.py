"""What still has to be measured for a space, in which order, and how long that will take.

Not every operator of a space needs a row. What matters is how often random networks execute it
(usage) and how uncertain its price is without a row; the points that take most uncertainty away
from a typical network are measured first, until its expected error is small enough. After a batch
prices are less uncertain, and the same choice made again asks for what is still worth a row.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice

import numpy as np
import numpy.typing as npt

from latency.estimate.channel_steps import channel_probes, is_probe
from latency.estimate.design import choose_points
from latency.estimate.estimator import Price, PriceSource
from latency.estimate.families import family_of
from latency.estimate.operator_prices import operator_prices
from latency.estimate.residual_field import PRIOR_PARTS, covariance
from latency.estimate.roofline import roofline_ns
from latency.library_form import stock_rival
from latency.operator import OperatorSpec, SparsityPattern
from latency.table import TableRow
from latency.target import DeviceFacts

_SECONDS_PER_MINUTE = 60.0
_Z90 = 1.645
# Expected errors of networks held in 69 to 83 % of cases where 90 % were claimed (replayed rows of an
# x86-64 host); with this factor in 83 to 88 %.
_OPTIMISM = 1.2

Array = npt.NDArray[np.float64]

_RIVALS = 8  # operators that are also measured in int8

TOLERANCE = 0.006  # relative standard error of a typical network from operators without a row
WORST_ERROR = 0.02  # ... of any network of the space
MAX_ROWS = 300  # of a table that one space needs
MAX_MINUTES = 12.0
ROUNDS = 3  # of measuring: a plan, and twice what turned out to be uncertain

_ROUND_SHARE = 2 / 3  # of the rows that are left, which a round before the last may use


@dataclass(frozen=True, kw_only=True)
class MeasuringCosts:
    """How long one measurement takes; the defaults stand until a target has a history."""

    operator_s: float = 0.1
    process_s: float = 0.8  # one whole network in one process


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The measurements that a target still needs."""

    operators: tuple[OperatorSpec, ...] = ()  # distinct, the most telling first
    networks: int = 0  # whole networks, for calibration and held out
    processes: int = 3  # per network
    costs: MeasuringCosts = MeasuringCosts()

    @property
    def minutes(self) -> float:
        """Expected time on the device."""
        operators = len(self.operators) * self.costs.operator_s
        networks = self.networks * self.processes * self.costs.process_s
        return (operators + networks) / _SECONDS_PER_MINUTE

    @property
    def room(self) -> int:
        """How many more operators fit into MAX_MINUTES."""
        left_s = (MAX_MINUTES - self.minutes) * _SECONDS_PER_MINUTE
        return max(0, int(left_s / self.costs.operator_s))


@dataclass(frozen=True, eq=False, kw_only=True)
class SpaceUsage:
    """How often random networks of a space execute which operators, and what may be measured.

    A network counts once for each regime and density that it is sampled in.
    """

    operators: tuple[OperatorSpec, ...]  # distinct
    counts: Array  # (networks, operators)
    points: tuple[OperatorSpec, ...]  # that a table can have rows of: known densities only
    one_network: bool = False  # it has the channels that it has

    @cached_property
    def by_use(self) -> tuple[OperatorSpec, ...]:
        """The operators, the most used first."""
        order = np.argsort(-self.counts.sum(axis=0), kind="stable")
        return tuple(self.operators[index] for index in order)

    @cached_property
    def probes(self) -> tuple[OperatorSpec, ...]:
        """Operators that show where the target has steps in channels; no network need have them."""
        return () if self.one_network else channel_probes(self.by_use)

    @cached_property
    def rivals(self) -> tuple[OperatorSpec, ...]:
        """The most used sparse operators dense in int8: what sparsity has to beat on the target."""
        sparse = (spec for spec in self.by_use if spec.pattern is not SparsityPattern.DENSE)
        rivals = dict.fromkeys(replace(stock_rival(spec), dtype="int8") for spec in sparse)
        return tuple(islice(rivals, _RIVALS))


@dataclass(frozen=True, kw_only=True)
class RowPlan:
    """Which rows a table lacks for a space, and what the others are worth."""

    operators: tuple[OperatorSpec, ...]  # to measure, the most telling first
    known: int  # points and probes that have a row
    covered: int  # other points: what is between rows is near enough
    error_now: float  # expected of a typical network from operators without a row
    error_after: float  # ... once the plan is measured


def plan_rows(
    usage: SpaceUsage,
    rows: Sequence[TableRow],
    facts: DeviceFacts,
    *,
    limit: int = MAX_ROWS,
) -> RowPlan:
    """Return the points that a table should have rows of, besides those that it has.

    Args:
        usage: of the space.
        rows: that are known of the target.
        facts: of the device, for what no row tells anything of.
        limit: most points to choose.
    """
    knowledge = _Knowledge(usage, rows, facts)
    measured = knowledge.measured
    candidates = np.array([spec in knowledge.points for spec in knowledge.specs]) & ~measured
    design = choose_points(
        knowledge.shares,
        knowledge.covariance,
        candidates,
        limit=limit,
        until=TOLERANCE,
        worst=WORST_ERROR,
    )
    priced = len({row.spec for row in rows} & knowledge.points)
    chosen = [knowledge.specs[index] for index in design.chosen]
    probes = missing_probes(usage, rows)
    return RowPlan(
        operators=tuple(dict.fromkeys((*chosen, *probes)))[:limit],
        known=known_points(usage, rows),
        covered=len(knowledge.points) - priced - len(chosen),
        error_now=design.errors[0],
        error_after=design.errors[-1],
    )


def rows_of_round(left: int, rounds_left: int) -> int:
    """Return how many of the rows that are left for a space its next round may use.

    A large space would spend them all at once, on what prior knowledge alone calls uncertain, and
    leave none for what the first rows show.
    """
    if rounds_left <= 0:
        return 0
    return max(0, left if rounds_left == 1 else math.ceil(_ROUND_SHARE * left))


def missing_probes(usage: SpaceUsage, rows: Iterable[TableRow]) -> tuple[OperatorSpec, ...]:
    """Return the probes of families that have none: another space may have had them measured."""
    probed = {family_of(row.spec) for row in rows if is_probe(row.spec)}
    return tuple(spec for spec in usage.probes if family_of(spec) not in probed)


def missing_rivals(usage: SpaceUsage, rows: Iterable[TableRow]) -> tuple[OperatorSpec, ...]:
    """Return the int8 rivals where none was measured: those of another space serve as well."""
    return () if any(row.spec.dtype == "int8" for row in rows) else usage.rivals


def known_points(usage: SpaceUsage, rows: Iterable[TableRow]) -> int:
    """Return how many of the points of a space, its probes and rivals have a row."""
    return len({row.spec for row in rows} & {*usage.points, *usage.probes, *usage.rivals})


def network_errors(usage: SpaceUsage, rows: Sequence[TableRow], facts: DeviceFacts) -> Array:
    """Return the relative standard error of each sampled network that unmeasured rows leave."""
    knowledge = _Knowledge(usage, rows, facts)
    spread = knowledge.shares @ knowledge.covariance * knowledge.shares
    errors: Array = np.sqrt(np.maximum(spread.sum(axis=1), 0.0))
    return errors


class _Knowledge:
    """What rows tell of the operators of a space: their prices, and how those err together."""

    def __init__(self, usage: SpaceUsage, rows: Sequence[TableRow], facts: DeviceFacts) -> None:
        self.points = frozenset(usage.points)
        self.specs = tuple(dict.fromkeys((*usage.operators, *usage.points)))
        self._rows, self._facts = rows, facts
        costs = np.array([max(price.ns, 1.0) for price in self._prices])
        counts = np.zeros((len(usage.counts), len(self.specs)))
        counts[:, : len(usage.operators)] = usage.counts
        total = counts * costs
        self.shares = total / total.sum(axis=1, keepdims=True)

    @cached_property
    def measured(self) -> npt.NDArray[np.bool_]:
        known = {row.spec for row in self._rows}
        return np.array([spec in known for spec in self.specs])

    @cached_property
    def covariance(self) -> Array:
        """Relative, (operators, operators): spreads of prices, and correlations of the field."""
        deviations = np.array([_deviation(price) for price in self._prices])
        deviations[self.measured] = 0.0
        known = [row.spec for row in self._rows]
        cross = covariance(self.specs, known, PRIOR_PARTS)
        of_known = covariance(known, known, PRIOR_PARTS)
        of_known += np.diag([PRIOR_PARTS.noise**2 + row.deviation**2 for row in self._rows])
        left = covariance(self.specs, self.specs, PRIOR_PARTS)
        left -= cross @ np.linalg.solve(of_known, cross.T)
        scale = np.sqrt(np.maximum(np.diag(left), 1e-12))
        relative: Array = left * np.outer(deviations / scale, deviations / scale)
        return relative

    @cached_property
    def _prices(self) -> list[Price]:
        regimes = {row.spec.regime for row in self._rows}
        prices = operator_prices(tuple(self._rows), self._facts)
        return [
            prices.price(spec) if spec.regime in regimes else self._unknown(spec)
            for spec in self.specs
        ]

    def _unknown(self, spec: OperatorSpec) -> Price:
        cost = roofline_ns(spec, self._facts)
        half = cost * float(np.expm1(_Z90 * np.sqrt(PRIOR_PARTS.variance)))
        return Price(ns=cost, spread_ns=half, source=PriceSource.ASSUMED)


def _deviation(price: Price) -> float:
    """Return the relative standard deviation of a price, as a logarithm."""
    return _OPTIMISM * float(np.log1p(price.spread_ns / max(price.ns, 1.0))) / _Z90
