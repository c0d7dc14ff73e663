"""OperatorPrices: what one operator costs, from the rows of a table and what lies between them."""

import math
from collections.abc import Sequence

from latency.estimate.estimator import Price, PriceSource
from latency.estimate.execution import executed_nodes
from latency.estimate.gaps import GapModel, fit_gap_model
from latency.estimate.interpolation import RowIndex
from latency.graph import NetworkGraph
from latency.library_form import row_spec
from latency.operator import OperatorSpec, Regime, SparsityPattern
from latency.table import TableRow


class OperatorPrices:
    """Prices operators from rows of one target.

    An operator's price is its row; else it lies between rows of other densities; else, in stock
    runtimes, zeros are worth nothing and its dense form decides; else it lies between rows of
    other channel counts; else a model fitted on all rows estimates it.
    """

    def __init__(self, rows: Sequence[TableRow]) -> None:
        self._rows = {row.spec: row for row in rows}
        self._index = RowIndex(self._rows.values())
        self._gap_model: GapModel | None = None
        self._prices: dict[OperatorSpec, Price] = {}

    def price(self, spec: OperatorSpec) -> Price:
        """Return the marginal cost of one operator; never negative.

        Raises:
            ValueError: there are no rows at all.
        """
        known = self._prices.get(spec)
        if known is None:
            known = self._prices[spec] = self._find_price(row_spec(spec))
        return known

    def sum_ns(self, graph: NetworkGraph) -> float:
        """Return the sum of the prices of the operators that are executed."""
        return math.fsum(self.price(node.spec).ns for node in executed_nodes(graph))

    def _find_price(self, spec: OperatorSpec) -> Price:
        row = self._rows.get(spec)
        if row is not None:
            return _price(row.median_ns, row.spread_ns, PriceSource.MEASURED)
        if spec.pattern is not SparsityPattern.DENSE:
            between = self._index.along_density(spec, self._rows.get(spec.dense()))
            if between is not None:
                return _price(between.ns, between.spread_ns, PriceSource.INTERPOLATED)
            if spec.regime is Regime.STOCK:
                return self.price(spec.dense())
        between = self._index.along_channels(spec)
        if between is not None:
            return _price(between.ns, between.spread_ns, PriceSource.INTERPOLATED)
        if self._gap_model is None:
            self._gap_model = fit_gap_model(list(self._rows.values()))
        return _price(*self._gap_model.price_ns(spec), PriceSource.ESTIMATED)


def _price(ns: float, spread_ns: float, source: PriceSource) -> Price:
    # A marginal cost within the noise may come out slightly negative.
    return Price(ns=max(0.0, ns), spread_ns=spread_ns, source=source)
