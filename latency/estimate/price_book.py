"""PriceBook: prices of operators as arrays, so that many networks are summed up at once.

Every operator has a position. An operator with a pattern has one for each density, of which there
are 10,000, because densities have four decimals; positions that were never asked for cost nothing.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from latency.estimate.estimator import LatencyEstimator, PriceSource
from latency.operator import OperatorSpec, Regime, SparsityPattern

NOTHING = 0  # the position of no operator
DENSITY_STEPS = 10_000  # a density of 1

_SOURCES = list(PriceSource)
_UNKNOWN = len(_SOURCES)  # not asked for yet
_FREE = _UNKNOWN + 1  # the source of no operator
_FIRST_CAPACITY = 1 << 16
_SHORTEST_PIECE = 64  # in steps of density
_SAMPLES = 7  # of a piece of a curve: three make the parabola, the others test it
_TOLERANCE = 1e-11  # relative

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Sums:
    """What networks cost before calibration; arrays (N,), `sources` (N, number of sources)."""

    total_ns: Floats
    spread_ns: Floats  # half width of the 90 % interval, from the rows alone
    sources: Ints  # operators by source of price, in the order of PriceSource


class PriceBook:
    """Positions and prices of operators, all from one estimator.

    `regimes` are those in which its target can execute a network.
    """

    def __init__(self, estimator: LatencyEstimator) -> None:
        self._estimator = estimator
        library = estimator.table.library is not None
        self.regimes = (Regime.STOCK, Regime.LIBRARY) if library else (Regime.STOCK,)
        self._positions: dict[OperatorSpec, int] = {}
        self._starts: list[int] = []  # positions at which operators start, ascending
        self._specs: list[OperatorSpec] = []  # of density 1
        self._end = 1
        self._ns = np.zeros(_FIRST_CAPACITY)
        self._spread = np.zeros(_FIRST_CAPACITY)
        self._source = np.full(_FIRST_CAPACITY, _UNKNOWN, dtype=np.uint8)
        self._source[NOTHING] = _FREE
        sparse = {round(r.spec.density * DENSITY_STEPS) for r in estimator.table.rows}
        self._row_knots = sorted(sparse | {0, DENSITY_STEPS})
        self._knots: dict[int, list[int]] = {}  # by start of operator: where its pieces end

    def position(self, spec: OperatorSpec) -> int:
        """Return where the price of an operator is.

        For other densities of the same pattern it is that far away, in 1 / DENSITY_STEPS.
        """
        if spec.pattern is SparsityPattern.DENSE:
            return self._start(spec, 1)
        start = self._start(replace(spec, density=1.0), DENSITY_STEPS + 1)
        return start + round(spec.density * DENSITY_STEPS)

    def prices_ns(self, positions: Ints) -> Floats:
        """Return the price at each position, nanoseconds.

        Raises:
            ValueError: the estimator cannot price an operator.
        """
        self._fill(positions)
        return self._ns[positions]

    def sums(self, positions: Ints) -> Sums:
        """Return what networks cost whose operators are the rows of `positions` (N, operators).

        Raises:
            ValueError: the estimator cannot price an operator.
        """
        count, width = positions.shape
        ordered = np.sort(positions, axis=1)
        begins = np.ones(ordered.shape, dtype=bool)
        begins[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
        begin = np.flatnonzero(begins)
        network = begin // width
        used = np.diff(begin, append=ordered.size)
        distinct = ordered.ravel()[begin]
        self._fill(distinct)
        # A row's error repeats with every use of the row; errors of different rows do not.
        squares = np.square(used * self._spread[distinct])
        source = self._source[distinct]
        by_source = np.bincount(network * (_FREE + 1) + source, used, count * (_FREE + 1))
        return Sums(
            total_ns=np.bincount(network, used * self._ns[distinct], count).astype(np.float64),
            spread_ns=np.sqrt(np.bincount(network, squares, count)),
            sources=by_source.reshape(count, -1)[:, :_UNKNOWN].astype(np.int64),
        )

    def _start(self, spec: OperatorSpec, length: int) -> int:
        known = self._positions.get(spec)
        if known is None:
            known = self._positions[spec] = self._end
            self._starts.append(known)
            self._specs.append(spec)
            self._end += length
            self._grow()
        return known

    def _grow(self) -> None:
        while self._end > len(self._ns):
            more = len(self._ns)
            self._ns = np.concatenate([self._ns, np.zeros(more)])
            self._spread = np.concatenate([self._spread, np.zeros(more)])
            self._source = np.concatenate([self._source, np.full(more, _UNKNOWN, np.uint8)])

    def _fill(self, positions: Ints) -> None:
        """Ask for all prices at these positions that are not known yet."""
        for position in np.unique(positions[self._source[positions] == _UNKNOWN]).tolist():
            if self._source[position] != _UNKNOWN:
                continue  # the curve through an earlier one has passed here
            start = self._starts[bisect_right(self._starts, position) - 1]
            if start == position or not self._fill_piece(start, position - start):
                self._ask([position])

    def _fill_piece(self, start: int, step: int) -> bool:
        """Fill the prices around a density as far as they lie on one parabola.

        Pieces end at the densities of rows. One with a knee is halved until it is short; what is
        left has to be asked for one by one.
        """
        knots = self._knots.setdefault(start, list(self._row_knots))
        while True:
            index = bisect_left(knots, step)
            low, high = knots[index - 1], knots[index]
            if step == high or high - low <= _SHORTEST_PIECE:
                return False
            if self._fill_between(start, low, high):
                return True
            knots.insert(index, (low + high) // 2)

    def _fill_between(self, start: int, low: int, high: int) -> bool:
        steps = np.linspace(low + 1, high - 1, _SAMPLES).round().astype(int)
        self._ask((start + steps).tolist())
        at, inside = (steps - low) / (high - low), np.arange(1, high - low) / (high - low)
        sampled = self._source[start + steps]
        curves = [_parabola(at, prices[start + steps]) for prices in (self._ns, self._spread)]
        found = [curve for curve in curves if curve is not None]
        if len(found) < len(curves) or (sampled != sampled[0]).any():
            return False
        piece = slice(start + low + 1, start + high)
        self._ns[piece], self._spread[piece] = (np.polyval(curve, inside) for curve in found)
        self._source[piece] = sampled[0]
        return True

    def _ask(self, positions: Iterable[int]) -> None:
        for position in positions:
            index = bisect_right(self._starts, position) - 1
            spec = self._specs[index]
            if position > self._starts[index]:
                density = (position - self._starts[index]) / DENSITY_STEPS
                spec = replace(spec, density=density)
            price = self._estimator.price(spec)
            self._ns[position], self._spread[position] = price.ns, price.spread_ns
            self._source[position] = _SOURCES.index(price.source)


def _parabola(at: Floats, values: Floats) -> Floats | None:
    """Return the coefficients of the parabola through all samples, or None if there is none."""
    chosen = [0, len(at) // 2, len(at) - 1]
    curve = np.linalg.solve(np.vander(at[chosen], 3), values[chosen]).astype(np.float64)
    missed = np.abs(np.polyval(curve, at) - values).max()
    return curve if missed <= _TOLERANCE * np.abs(values).max() else None
