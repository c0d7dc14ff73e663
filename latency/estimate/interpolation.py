"""Prices between rows: along density, and along channels where rows bracket the operator."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from latency.operator import OperatorKind, OperatorSpec, SparsityPattern
from latency.table import TableRow

Point = tuple[float, TableRow]  # position on the axis, and the row there


@dataclass(frozen=True, kw_only=True)
class Between:
    """A price found between two rows."""

    ns: float
    spread_ns: float


class RowIndex:
    """Finds the rows that differ from an operator along one axis only."""

    def __init__(self, rows: Iterable[TableRow]) -> None:
        self._by_density: dict[OperatorSpec, list[Point]] = {}
        self._by_channels: dict[tuple[str, OperatorSpec], list[Point]] = {}
        for row in rows:
            spec = row.spec
            if spec.pattern is not SparsityPattern.DENSE:
                same = replace(spec, density=1.0)
                self._by_density.setdefault(same, []).append((spec.density, row))
            for axis, same, position in _channel_axes(spec):
                self._by_channels.setdefault((axis, same), []).append((position, row))

    def along_density(self, spec: OperatorSpec, dense: TableRow | None) -> Between | None:
        """Return a price from rows of the same pattern at other densities, or None without any.

        The dense row stands at density 1. Below the sparsest row that row's price stands: what
        has fewer weights does not take longer.
        """
        points = list(self._by_density.get(replace(spec, density=1.0), ()))
        if not points:
            return None
        if dense is not None and all(density < 1.0 for density, _ in points):
            points.append((1.0, dense))
        lowest = min(points, key=lambda point: point[0])
        if spec.density <= lowest[0]:
            return Between(ns=lowest[1].median_ns, spread_ns=lowest[1].spread_ns)
        return _interpolate(points, spec.density)

    def along_channels(self, spec: OperatorSpec) -> Between | None:
        """Return a price from rows with other channel counts that bracket this one, or None.

        Of several axes the one with the narrowest bracket is taken.
        """
        found = []
        for axis, same, position in _channel_axes(spec):
            points = self._by_channels.get((axis, same), [])
            bracket = _bracket(points, position)
            if bracket is not None:
                low, high = bracket
                found.append((high[0] / low[0], _interpolate([low, high], position)))
        if not found:
            return None
        return min(found, key=lambda item: item[0])[1]


def _channel_axes(spec: OperatorSpec) -> list[tuple[str, OperatorSpec, float]]:
    """Return (axis, what rows along it share, position) for each way to vary the channels.

    The shared value is the spec with the varied channels set to a stand-in.
    """
    if spec.kind in (OperatorKind.CONV, OperatorKind.LINEAR) and spec.groups == 1:
        return [
            ("out", replace(spec, out_channels=spec.block_filters or 1), float(spec.out_channels)),
            ("in", replace(spec, in_channels=1), float(spec.in_channels)),
        ]
    if spec.kind is OperatorKind.CONV and not spec.groups == spec.in_channels == spec.out_channels:
        return []
    merged = spec.inputs if spec.kind is OperatorKind.CONCAT else 1
    same = replace(spec, in_channels=1, out_channels=merged, groups=1)
    return [("depthwise" if spec.groups > 1 else "both", same, float(spec.in_channels))]


def _bracket(points: list[Point], position: float) -> tuple[Point, Point] | None:
    below = [point for point in points if point[0] < position]
    above = [point for point in points if point[0] > position]
    if not below or not above:
        return None
    return max(below, key=lambda point: point[0]), min(above, key=lambda point: point[0])


def _interpolate(points: list[Point], position: float) -> Between | None:
    exact = next((row for at, row in points if at == position), None)
    if exact is not None:
        return Between(ns=exact.median_ns, spread_ns=exact.spread_ns)
    bracket = _bracket(points, position)
    if bracket is None:
        return None
    (low_at, low), (high_at, high) = bracket
    share = (position - low_at) / (high_at - low_at)
    step = abs(high.median_ns - low.median_ns)
    return Between(
        ns=low.median_ns + share * (high.median_ns - low.median_ns),
        # Cost in channels is a staircase, so between two rows a whole step may be missed.
        spread_ns=max(low.spread_ns, high.spread_ns) + step * 2 * share * (1 - share),
    )
