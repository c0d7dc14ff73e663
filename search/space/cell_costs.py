"""CellCosts: the latency of a network of cells as one formula over its encoded edges.

At 0 and 1 it is the prediction of the table, in both regimes, for networks of full middle width;
between them it is that of a mixture (`cell_interactions`). Its gradient is taken by a complex step
(Squire and Trapp, SIAM Review 40, 1998): exact to rounding, because the formula is a polynomial, and
one evaluation of a batch; differentiating its some thousand small operations one by one took longer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from latency.estimate.calibrated import unexplained
from latency.estimate.price_book import DENSITY_STEPS, PriceBook
from latency.table import Calibration
from latency.units import NS_PER_MS
from search.space.cell_encoding import EDGE_LAYERS, FULL_WIDTH
from search.space.cell_interactions import (
    INPUTS,
    MIXED_EDGES,
    POOL_COLUMNS,
    SOURCES,
    CellInteractions,
    cell_interactions,
)
from search.space.cell_variants import CellSize, CellVariants
from search.space.dass_cells import CellPlan
from search.space.primitives import OPERATIONS
from search.space.sparsity import PlannedEstimator

_KINDS = (0, 1)  # normal cells, reductions
_STEP = 1e-30  # so small that its square is lost: nothing is subtracted, so nothing cancels

Floats = npt.NDArray[np.float64]
Array = npt.NDArray[Any]  # of real or complex numbers


@dataclass(frozen=True, kw_only=True)
class KindCosts:
    """Nanoseconds of all cells of one kind, by what is executed."""

    edges: Floats  # (14, 8, 2, 2): operation, with a ReLU on its input, taking the sum
    inputs: Floats  # (2, 2, 2): convolution of a cell input, with a ReLU behind it, taking a sum
    sum_ns: float  # of a node, alone
    relus: Floats  # (5,): of a state, alone
    pools: Floats  # (5, 2): of a state

    def total(self, x: Array, found: CellInteractions) -> Array:
        """Return the sum over the cells, (...), for edges encoded as x (..., 14, 8)."""
        relu, takes = found.rectifies[..., None], found.free[..., None]
        price = _between(self.edges, relu, takes)
        plain, taken = found.read_plain, found.input_takes
        of_inputs = (
            (1.0 - plain) * self.inputs[:, 1, 0]
            + (plain - taken) * self.inputs[:, 0, 0]
            + taken * self.inputs[:, 0, 1]
        )
        total: Array = (
            (x * price).sum(-1).sum(-1)
            + of_inputs.sum(-1)
            + self.sum_ns * found.sums.sum(-1)
            + (found.relus * self.relus).sum(-1)
            + (found.pools * self.pools).sum(-1).sum(-1)
        )
        return total


@dataclass(frozen=True, kw_only=True)
class RegimeCosts:
    """Costs of a network in one regime."""

    kinds: tuple[KindCosts, KindCosts]  # normal cells, reductions
    fixed_ns: float  # stem, concatenations, ReLUs between cells, pooling, classifier
    calibration: Calibration

    def latency_ms(self, of_kinds: Sequence[Array], *, upper: bool) -> Array:
        """Return the latency for the sums over the cells of each kind."""
        total_ns = self.fixed_ns + of_kinds[0] + of_kinds[1]
        latency_ns = self.calibration.intercept_ns + self.calibration.slope * total_ns
        return latency_ns * (self._factor(upper=upper) / NS_PER_MS)

    def slope_ms(self, *, upper: bool) -> float:
        """Return the milliseconds of latency for each nanosecond of the sums."""
        return self.calibration.slope * self._factor(upper=upper) / NS_PER_MS

    def _factor(self, *, upper: bool) -> float:
        return 1.0 + unexplained(self.calibration) if upper else 1.0


class CellCosts:
    """Costs of the networks of one size, as sparse as planned, from the table of a target.

    Where `upper` is asked for, it is the upper end of the prediction's 90 % interval that is
    returned, without the part that comes from the spread of the rows.
    """

    def __init__(self, estimator: PlannedEstimator, size: CellSize) -> None:
        book = PriceBook(estimator.plain)
        self.regimes = tuple(
            _regime_costs(
                book,
                size.plans,
                CellVariants(book, size, estimator.sparsity, regime),
                estimator.table.calibration_of(regime),
            )
            for regime in book.regimes
        )

    def latency_ms(self, edges: Floats, *, upper: bool = False) -> Floats:
        """Return the latency in the fastest regime, (...), for encoded cells (..., 2, 14, 8)."""
        found = [_interactions(edges[..., kind, :, :], kind) for kind in _KINDS]
        regimes = [
            costs.latency_ms(
                [costs.kinds[k].total(edges[..., k, :, :], found[k]) for k in _KINDS], upper=upper
            )
            for costs in self.regimes
        ]
        fastest: Floats = np.min(regimes, axis=0)
        return fastest

    def gradient(self, edges: Floats, *, upper: bool = False) -> tuple[float, Floats]:
        """Return `latency_ms` of one network and its derivatives, of the shape (2, 14, 8)."""
        steps = 1j * _STEP * np.eye(edges[0].size).reshape(-1, *edges[0].shape)
        moved = [edges[kind] + steps for kind in _KINDS]
        found = [_interactions(moved[kind], kind) for kind in _KINDS]
        sums = [
            [costs.kinds[kind].total(moved[kind], found[kind]) for kind in _KINDS]
            for costs in self.regimes
        ]
        latencies = [
            costs.latency_ms([of_kind[0].real for of_kind in of_kinds], upper=upper)
            for costs, of_kinds in zip(self.regimes, sums, strict=True)
        ]
        fastest = int(np.argmin(latencies))
        slope = self.regimes[fastest].slope_ms(upper=upper) / _STEP
        derivatives = slope * np.array(sums[fastest]).imag.reshape(edges.shape)
        return float(latencies[fastest]), derivatives


def _interactions(x: Array, kind: int) -> CellInteractions:
    return cell_interactions(x, reduction=bool(kind))


def _regime_costs(
    book: PriceBook,
    plans: Sequence[CellPlan],
    variants: CellVariants,
    calibration: Calibration,
) -> RegimeCosts:
    whole = np.array(0), np.array(DENSITY_STEPS)
    ends = [of.positions([0], *whole) for of in (variants.stem, variants.classifier)]
    normal, reduce = (
        _kind_costs(book, [plan for plan in plans if plan.reduction == bool(kind)], variants)
        for kind in _KINDS
    )
    fixed = np.concatenate([variants.always(), *(end.ravel() for end in ends)])
    return RegimeCosts(
        kinds=(normal, reduce),
        fixed_ns=float(book.prices_ns(fixed).sum()),
        calibration=calibration,
    )


def _kind_costs(book: PriceBook, plans: Sequence[CellPlan], variants: CellVariants) -> KindCosts:
    columns = len(OPERATIONS)
    if not plans:
        return KindCosts(
            edges=np.zeros((len(MIXED_EDGES), columns, 2, 2)),
            inputs=np.zeros((INPUTS, 2, 2)),
            sum_ns=0.0,
            relus=np.zeros(SOURCES),
            pools=np.zeros((SOURCES, len(POOL_COLUMNS))),
        )
    cells = np.array([plan.index for plan in plans])
    halved = np.array([plans[0].reduction and source < INPUTS for _, source in MIXED_EDGES])
    whole = np.array(0), np.array(DENSITY_STEPS)
    flag, layers = np.arange(2), np.arange(EDGE_LAYERS)
    cell, edge, column, *flags, layer = np.ix_(
        cells, halved.astype(int), np.arange(columns), flag, flag, layers
    )
    digits = [cell, edge, column, np.array(FULL_WIDTH), *flags, layer]
    edges = book.prices_ns(variants.edges.positions(digits, *whole)).sum(axis=(0, -1))
    digits = list(np.ix_(cells, np.arange(INPUTS), flag, flag))
    inputs = variants.inputs.positions(digits, *whole)
    return KindCosts(
        edges=edges,
        inputs=book.prices_ns(inputs).sum(axis=0),
        sum_ns=float(book.prices_ns(np.array([variants.sum_of_two(p) for p in plans])).sum()),
        relus=book.prices_ns(np.array([variants.relus(p) for p in plans])).sum(axis=0),
        pools=book.prices_ns(np.array([variants.pools(p) for p in plans])).sum(axis=0),
    )


def _between(prices: Array, first: Array, second: Array) -> Array:
    """Return prices (..., 2, 2) at fractions of the last two axes: bilinear, exact at the corners."""
    without = prices[..., 0, 0] * (1.0 - second) + prices[..., 0, 1] * second
    with_first = prices[..., 1, 0] * (1.0 - second) + prices[..., 1, 1] * second
    between: Array = without * (1.0 - first) + with_first * first
    return between
