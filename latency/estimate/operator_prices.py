"""OperatorPrices: what one operator costs, from the rows of a table and what lies between them."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, lru_cache

from latency.estimate.channel_steps import ChannelPrices
from latency.estimate.density_curves import DensityCurves
from latency.estimate.estimator import Price, PriceSource
from latency.estimate.execution import executed_nodes
from latency.estimate.gaps import GapModel, is_noisy
from latency.graph import NetworkGraph
from latency.library_form import row_spec
from latency.operator import UNCUT, OperatorSpec, Regime, SparsityPattern
from latency.table import TRANSFERRED, TableRow
from latency.target import UNKNOWN_DEVICE, DeviceFacts


@lru_cache(maxsize=8)
def operator_prices(rows: tuple[TableRow, ...], facts: DeviceFacts) -> "OperatorPrices":
    """Return the prices of operators from rows of one target.

    Rows are immutable and their fit takes up to seconds: whoever asks for prices of the same rows
    gets the same prices.
    """
    return OperatorPrices(rows, facts)


class OperatorPrices:
    """Prices operators from rows of one target; `operator_prices` keeps them.

    An operator's price is its row, drawn towards what others say where it was measured in noise;
    else it lies on the curve of rows of other densities; else, in stock runtimes, zeros are worth
    nothing and its dense form decides; else it lies between rows of other channel counts; else a
    kernel that is cut costs what the whole one does; else it is estimated from the rows of its
    family, or assumed.
    """

    def __init__(self, rows: Sequence[TableRow], facts: DeviceFacts = UNKNOWN_DEVICE) -> None:
        self._facts = facts
        self._measured = tuple(rows)
        self._regimes = {row.spec.regime for row in rows}
        self._prices: dict[OperatorSpec, Price] = {}

    def price(self, spec: OperatorSpec) -> Price:
        """Return the marginal cost of one operator; never negative.

        Raises:
            ValueError: there are no rows of its regime at all.
        """
        known = self._prices.get(spec)
        if known is None:
            self.check([spec])
            known = self._prices[spec] = self._find_price(row_spec(spec))
        return known

    def sum_ns(self, graph: NetworkGraph) -> float:
        """Return the sum of the prices of the operators that are executed."""
        return math.fsum(self.price(node.spec).ns for node in executed_nodes(graph))

    def check(self, specs: Sequence[OperatorSpec]) -> None:
        """Refuse operators of a regime of which nothing was measured.

        Raises:
            ValueError: names them.
        """
        unknown = dict.fromkeys(spec for spec in specs if spec.regime not in self._regimes)
        if unknown:
            regimes = ", ".join(dict.fromkeys(spec.regime.value for spec in unknown))
            labels = "; ".join(spec.label() for spec in unknown)
            raise ValueError(
                f"latency table: it has no rows of the {regimes} regime, so nothing can price these "
                f"operators: {labels}"
            )

    def _find_price(self, spec: OperatorSpec) -> Price:
        row = self._rows.get(spec)
        if row is not None:
            transferred = row.method == TRANSFERRED
            source = PriceSource.TRANSFERRED if transferred else PriceSource.MEASURED
            return _price(row.median_ns, row.spread_ns, source)
        if spec.pattern is not SparsityPattern.DENSE:
            on_curve = self._curves.price_ns(spec)
            if on_curve is not None:
                return _price(*on_curve, PriceSource.INTERPOLATED)
            if spec.regime is Regime.STOCK:
                return self.price(spec.dense())
        between = self._channels.price_ns(spec)
        if between is not None:
            return _price(*between, PriceSource.INTERPOLATED)
        if spec.cut != UNCUT:
            return self.price(replace(spec, cut=UNCUT))
        return self._gap_model.price(spec)

    @cached_property
    def _rows(self) -> dict[OperatorSpec, TableRow]:
        noisy = any(map(is_noisy, self._measured))
        rows = self._gap_model.settled_rows() if noisy else self._measured
        return {row.spec: row for row in rows}

    # Each is made when first asked: most tables have a row for most of what is priced.
    @cached_property
    def _curves(self) -> DensityCurves:
        return DensityCurves(self._rows.values())

    @cached_property
    def _channels(self) -> ChannelPrices:
        return ChannelPrices(self._measured)

    @cached_property
    def _gap_model(self) -> GapModel:
        return GapModel(self._measured, self._facts, self._channels.staircases)


def _price(ns: float, spread_ns: float, source: PriceSource) -> Price:
    # A marginal cost within the noise may come out slightly negative.
    return Price(ns=max(0.0, ns), spread_ns=spread_ns, source=source)
