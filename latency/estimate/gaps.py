"""Prices of operators that no row is near: fitted on the rows of their family, or assumed.

For each family of operators, cost = a + b * multiply-adds + c * traffic with a, b, c >= 0, fitted
by non-negative least squares on relative errors. The coefficients cannot be negative, so a price
never is, and it grows with the work. What the formula misses is taken from the rows most like the
operator (`ResidualField`). A family with too few rows is priced by the roofline of the device and
by how far other rows are from theirs.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

from latency.estimate.channel_steps import NO_STAIRCASES, Staircases, fills_blocks
from latency.estimate.estimator import Price, PriceSource
from latency.estimate.families import family_of
from latency.estimate.residual_field import PRIOR_PARTS, ResidualField, likeliest_parts
from latency.estimate.roofline import roofline_ns
from latency.operator import OperatorSpec
from latency.table import TRANSFERRED, TableRow
from latency.target import DeviceFacts

MIN_ROWS = 6  # of a family, for a formula of its own: twice its coefficients
_FLOOR_NS = 50.0  # a cheaper row is within the noise, and must not rule a relative fit
_NOISY = 0.08  # standard deviation of a row, relative, from which on others say more of it
_BELIEVED_MISS = 0.15  # of a formula of a family; 0.05 to 0.3 on x86-64
_Z90 = 1.645

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class FamilyModel:
    """The formula of one family and what it misses."""

    coefficients: Array  # of (1, multiply-adds, traffic)
    field: ResidualField
    rows: tuple[TableRow, ...]  # that both were fitted on

    def formula_ns(self, spec: OperatorSpec) -> float:
        """Return the cost by the formula alone."""
        return max(1.0, float(_features(spec) @ self.coefficients))

    def settled_rows(self) -> Iterator[TableRow]:
        """Yield the rows, the noisy ones drawn towards what the others say of them."""
        for row, mean, deviation in zip(self.rows, *self.field.settled(), strict=True):
            if not is_noisy(row) or row.median_ns < _FLOOR_NS:
                yield row
                continue
            cost = float(_features(row.spec) @ self.coefficients) * math.exp(mean)
            yield replace(row, median_ns=cost, spread_ns=cost * math.expm1(_Z90 * float(deviation)))


class GapModel:
    """Prices any operator of one device, from rows that need not be near it.

    Operators whose channels fill no block of the kernel are a family of their own: they may cost
    several times as much.

    Args:
        rows: of the device.
        facts: of the device.
        staircases: where its blocks are.
    """

    def __init__(
        self, rows: Sequence[TableRow], facts: DeviceFacts, staircases: Staircases = NO_STAIRCASES
    ) -> None:
        self._facts = facts
        self._staircases = staircases
        self._groups: dict[tuple[str, bool], list[TableRow]] = {}
        for row in rows:
            self._groups.setdefault(self._group_of(row.spec), []).append(row)
        self.families = {
            group: _fit(members)
            for group, members in self._groups.items()
            if len(members) >= MIN_ROWS
        }
        self._assumed = {
            filled: _over_roofline([row for row in rows if self._fills(row.spec) == filled], facts)
            for filled in (True, False)
        }

    def price(self, spec: OperatorSpec) -> Price:
        """Return cost and half width of its 90 % interval, estimated or assumed."""
        model = self.families.get(self._group_of(spec))
        if model is None:
            formula, source = roofline_ns(spec, self._facts), PriceSource.ASSUMED
            field = self._assumed[self._fills(spec)]
        else:
            formula, source = model.formula_ns(spec), PriceSource.ESTIMATED
            field = model.field
        (mean,), (deviation,) = field.at([spec])
        cost = formula * math.exp(mean)
        return Price(ns=cost, spread_ns=cost * math.expm1(_Z90 * deviation), source=source)

    def settled_rows(self) -> tuple[TableRow, ...]:
        """Return all rows; noisy ones of families with a formula as the others suggest."""
        return tuple(
            row
            for group, members in self._groups.items()
            for row in (self.families[group].settled_rows() if group in self.families else members)
        )

    def _group_of(self, spec: OperatorSpec) -> tuple[str, bool]:
        return family_of(spec), self._fills(spec)

    def _fills(self, spec: OperatorSpec) -> bool:
        return fills_blocks(spec, self._staircases)


def is_noisy(row: TableRow) -> bool:
    """Return whether a row was measured so badly that other rows say more of it.

    Rows from another target err together and not one by one: they are what they are.
    """
    return row.deviation >= _NOISY and row.method != TRANSFERRED


def _over_roofline(rows: Sequence[TableRow], facts: DeviceFacts) -> ResidualField:
    ratios = [math.log(_cost(row) / roofline_ns(row.spec, facts)) for row in rows]
    noises = [row.deviation for row in rows]
    return ResidualField([row.spec for row in rows], ratios, PRIOR_PARTS, noises)


def _fit(rows: Sequence[TableRow]) -> FamilyModel:
    costs = np.array([_cost(row) for row in rows])
    specs = [row.spec for row in rows]
    scaled = np.array([_features(spec) for spec in specs]) / costs[:, None]
    coefficients = _non_negative_least_squares(scaled, np.ones(len(rows)))
    residuals = -np.log(np.maximum(scaled @ coefficients, 1e-9))
    # The fit has taken a share of the residuals away: what is left looks smaller than it is.
    taken = len(rows) / max(1, len(rows) - int(np.count_nonzero(coefficients)))
    noises = [row.deviation for row in rows]
    parts = likeliest_parts(
        specs,
        residuals * math.sqrt(taken),
        shared=False,
        believed=_BELIEVED_MISS,
        noises=noises,
    )
    field = ResidualField(specs, list(residuals), parts, noises)
    return FamilyModel(coefficients=coefficients, field=field, rows=tuple(rows))


def _cost(row: TableRow) -> float:
    return max(row.median_ns, _FLOOR_NS)


def _features(spec: OperatorSpec) -> Array:
    return np.array([1.0, spec.executed_macs, float(spec.traffic_elements)])


def _non_negative_least_squares(matrix: Array, target: Array) -> Array:
    """Return x >= 0 with the least |matrix x - target|; exact, by trying every support."""
    columns = matrix.shape[1]
    best, best_error = np.zeros(columns), float(target @ target)
    supports = (s for size in range(1, columns + 1) for s in combinations(range(columns), size))
    for support in supports:
        chosen = list(support)
        solution = np.linalg.lstsq(matrix[:, chosen], target, rcond=None)[0]
        if (solution < 0).any():
            continue
        residual = matrix[:, chosen] @ solution - target
        if residual @ residual < best_error:
            best_error = float(residual @ residual)
            best = np.zeros(columns)
            best[chosen] = solution
    return best
