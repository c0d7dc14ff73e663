"""Prices of operators that no row is near: a model fitted on the rows, labelled an estimate.

For each family of operators, cost = a + b * multiply-adds + c * traffic with a, b, c >= 0, fitted
by non-negative least squares on relative errors. The coefficients cannot be negative, so a price
never is, and it grows with the work.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from latency.operator import OperatorKind, OperatorSpec, Regime
from latency.table import TableRow

MIN_ROWS = 4  # of a family; a smaller one is priced by the model of all rows
_FLOOR_NS = 50.0  # a cheaper row is within the noise, and must not rule a relative fit
_Z90 = 1.645
_UNKNOWN_SPREAD = 0.5  # relative, where too few rows are left to see how wrong the model is

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class GapModel:
    """The fitted models, by family of operators; `None` is the one of all rows."""

    coefficients: dict[str | None, tuple[float, ...]]
    sigmas: dict[str | None, float]  # relative standard deviation of the residuals

    def price_ns(self, spec: OperatorSpec) -> tuple[float, float]:
        """Return cost and half width of its 90 % interval, in nanoseconds."""
        family: str | None = family_of(spec)
        if family not in self.coefficients:
            family = None
        cost = float(_features(spec) @ np.array(self.coefficients[family]))
        return cost, _Z90 * self.sigmas[family] * cost


def fit_gap_model(rows: Sequence[TableRow]) -> GapModel:
    """Return the models fitted on `rows`.

    Raises:
        ValueError: there are no rows.
    """
    if not rows:
        raise ValueError("latency table: it has no rows, so nothing can be priced")
    families: dict[str | None, list[TableRow]] = {None: list(rows)}
    for row in rows:
        families.setdefault(family_of(row.spec), []).append(row)
    coefficients: dict[str | None, tuple[float, ...]] = {}
    sigmas: dict[str | None, float] = {}
    for family, members in families.items():
        if family is None or len(members) >= MIN_ROWS:
            coefficients[family], sigmas[family] = _fit(members)
    return GapModel(coefficients=coefficients, sigmas=sigmas)


def family_of(spec: OperatorSpec) -> str:
    """Return the name of the operators that are executed alike."""
    if spec.regime is Regime.LIBRARY:
        return f"library {_family_of(spec)}"
    return _family_of(spec)


def _family_of(spec: OperatorSpec) -> str:
    if spec.kind is not OperatorKind.CONV:
        return spec.kind.value
    if spec.groups > 1:
        return "conv depthwise" if spec.groups == spec.in_channels else "conv grouped"
    return "conv 1x1" if spec.kernel == 1 else "conv"


def _features(spec: OperatorSpec) -> Array:
    return np.array([1.0, spec.executed_macs, float(spec.traffic_elements)])


def _fit(rows: Sequence[TableRow]) -> tuple[tuple[float, ...], float]:
    costs = np.array([max(row.median_ns, _FLOOR_NS) for row in rows])
    scaled = np.array([_features(row.spec) for row in rows]) / costs[:, None]
    coefficients = _non_negative_least_squares(scaled, np.ones(len(rows)))
    residuals = scaled @ coefficients - 1.0
    freedom = len(rows) - int(np.count_nonzero(coefficients))
    sigma = float(np.sqrt(residuals @ residuals / freedom)) if freedom > 0 else _UNKNOWN_SPREAD
    return tuple(float(value) for value in coefficients), sigma


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
