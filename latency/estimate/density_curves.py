"""Cost of one operator over the weights that it keeps, between rows at a few densities.

Two forms. ALCS (Zhao et al., arXiv 2109.00170) joins the rows by straight lines. The other follows
from how a sparse kernel works: a floor, which is the traffic of input and output, then a line in
the number of weights, so cost = max(floor, a + b * density). Which one a family of operators takes
is decided by what each misses where a row was left out.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from latency.estimate.families import family_of
from latency.operator import OperatorSpec, SparsityPattern
from latency.table import TableRow

_MIN_FOR_LEFT_OUT = 4  # rows of a curve, so that three remain when one is left out
_MIN_ERRORS = 8  # left-out rows of a family, for a choice and a spread of its own
_USUAL_MISS = 0.06  # 90 % of left-out rows of the library were nearer on x86-64 with AVX-512

Array = npt.NDArray[np.float64]
Points = Sequence[tuple[float, float]]  # (density, nanoseconds), densities ascending


class CurveForm(StrEnum):
    """How cost runs between the densities of the rows."""

    KNEE = "knee"
    LINEAR = "piecewise-linear"


@dataclass(frozen=True, kw_only=True)
class FormError:
    """What a form missed on the rows of one family that were left out, each in its turn."""

    family: str
    form: CurveForm
    misses: tuple[float, ...]  # relative, absolute

    @property
    def mean(self) -> float:
        """Mean of the misses."""
        return statistics.fmean(self.misses)

    @property
    def high(self) -> float:
        """90 % of the misses are at most this."""
        return float(np.quantile(self.misses, 0.9))


def curve_ns(form: CurveForm, points: Points, density: float) -> float:
    """Return the cost at a density; below the sparsest row that row's.

    Args:
        form: of the curve.
        points: at least two.
        density: up to that of the densest row.
    """
    densities, costs = np.array(points, dtype=float).T
    costs = np.maximum(costs, 1.0)
    if density <= densities[0]:
        return float(costs[0])
    if form is CurveForm.LINEAR:
        return float(np.interp(density, densities, costs))
    knee = _knee(densities, costs)
    missed = np.interp(density, densities, costs - knee.at(densities))
    return float(missed + knee.at(np.array(density)))


def form_errors(rows: Iterable[TableRow]) -> list[FormError]:
    """Return what each form misses, by family, on curves with enough rows to leave one out.

    The sparsest and the densest row of a curve are never left out: nothing is extrapolated.
    """
    misses: dict[tuple[str, CurveForm], list[float]] = {}
    for spec, points in curves(rows).items():
        if len(points) < _MIN_FOR_LEFT_OUT:
            continue
        for index in range(1, len(points) - 1):
            density, cost = points[index]
            others = [*points[:index], *points[index + 1 :]]
            for form in CurveForm:
                miss = abs(curve_ns(form, others, density) / max(cost, 1.0) - 1.0)
                misses.setdefault((family_of(spec), form), []).append(miss)
    return [
        FormError(family=family, form=form, misses=tuple(found))
        for (family, form), found in misses.items()
    ]


def curves(rows: Iterable[TableRow]) -> dict[OperatorSpec, Points]:
    """Return the rows of each operator over density: the key has density 1 and the pattern.

    The dense row of an operator ends every curve of it.
    """
    known = {row.spec: row for row in rows}
    found: dict[OperatorSpec, list[tuple[float, float]]] = {}
    for spec, row in known.items():
        if spec.pattern is not SparsityPattern.DENSE:
            curve = found.setdefault(replace(spec, density=1.0), [])
            curve.append((spec.density, row.median_ns))
    for spec, points in found.items():
        dense = known.get(spec.dense())
        if dense is not None and all(density < 1.0 for density, _ in points):
            points.append((1.0, dense.median_ns))
        points.sort()
    return {spec: tuple(points) for spec, points in found.items()}


class DensityCurves:
    """The curves of a table, each family in the form that misses least."""

    def __init__(self, rows: Iterable[TableRow]) -> None:
        rows = tuple(rows)
        self._curves = curves(rows)
        self._errors = {(error.family, error.form): error for error in form_errors(rows)}

    def price_ns(self, spec: OperatorSpec) -> tuple[float, float] | None:
        """Return cost and half width of its 90 % interval, or None with fewer than two rows."""
        points = self._curves.get(replace(spec, density=1.0), ())
        if len(points) < 2 or spec.density > points[-1][0]:
            return None
        form, miss = self.form_of(family_of(spec))
        cost = curve_ns(form, points, spec.density)
        return cost, miss * cost

    def form_of(self, family: str) -> tuple[CurveForm, float]:
        """Return the form of a family, and what 90 % of its prices miss at most, relative."""
        own = [self._errors[key] for form in CurveForm if (key := (family, form)) in self._errors]
        if own and len(own[0].misses) >= _MIN_ERRORS:
            best = min(own, key=lambda error: error.mean)
            return best.form, best.high
        return CurveForm.KNEE, _USUAL_MISS


@dataclass(frozen=True, kw_only=True)
class _Knee:
    floor: float
    intercept: float
    slope: float

    def at(self, densities: Array) -> Array:
        return np.maximum(np.maximum(self.floor, 1.0), self.intercept + self.slope * densities)


def _knee(densities: Array, costs: Array) -> _Knee:
    """Return the knee with the least relative squares; of two alike the one with fewer rows below.

    Tries every number of rows on the floor; at least two remain for the line.
    """
    best, best_error = _Knee(floor=0.0, intercept=0.0, slope=0.0), math.inf
    for on_floor in range(len(costs) - 1):
        floor = float(costs[:on_floor].mean()) if on_floor else 0.0
        intercept, slope = _line(densities[on_floor:], costs[on_floor:])
        knee = _Knee(floor=floor, intercept=intercept, slope=slope)
        misses = (knee.at(densities) - costs) / np.maximum(costs, 1.0)
        error = float(misses @ misses)
        if error < best_error - 1e-12:
            best, best_error = knee, error
    return best


def _line(densities: Array, costs: Array) -> tuple[float, float]:
    """Return intercept and slope of the line with the least relative squares."""
    weights = costs**-2.0
    middle = float(weights @ densities / weights.sum())
    level = float(weights @ costs / weights.sum())
    away = densities - middle
    slope = float(weights @ (away * (costs - level)) / (weights @ (away * away)))
    return level - slope * middle, slope
