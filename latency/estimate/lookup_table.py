"""TableEstimator: a network costs the calibrated sum of its operators' marginal costs."""

import math
from collections import Counter
from collections.abc import Sequence

from latency.estimate.calibrated import calibrated_ns
from latency.estimate.estimator import Prediction, Price, PriceSource
from latency.estimate.execution import executed_nodes
from latency.estimate.operator_prices import operator_prices
from latency.graph import NetworkGraph
from latency.library_form import library_form
from latency.operator import OperatorSpec, Regime
from latency.table import LatencyTable
from latency.units import ns_to_ms


class TableEstimator:
    """Prices operators from the rows of one table, and networks as calibrated sums."""

    def __init__(self, table: LatencyTable) -> None:
        self._table = table
        self._prices = operator_prices(tuple(table.rows), table.target.facts)

    @property
    def table(self) -> LatencyTable:
        """The table version that every answer rests on."""
        return self._table

    def price(self, spec: OperatorSpec) -> Price:
        """Return the marginal cost of one operator, before calibration; never negative.

        Raises:
            ValueError: the table has no rows of its regime.
        """
        return self._prices.price(spec)

    def predict(self, graph: NetworkGraph) -> Prediction:
        """Return the latency of a whole network with its 90 % interval.

        Of a stock network that is the fastest of the forms that the target can execute; one that
        is in the regime of the library stays in it, as one with operators in int8 stays stock.

        Raises:
            ValueError: the table has no rows of the regime that the network is in.
        """
        return min((self.predict_form(form) for form in self._forms(graph)), key=_latency)

    def fastest_form(self, graph: NetworkGraph) -> NetworkGraph:
        """Return the network in the regime in which `predict` finds it fastest."""
        return min(self._forms(graph), key=lambda form: _latency(self.predict_form(form)))

    def predict_form(self, graph: NetworkGraph) -> Prediction:
        """Return the latency of a network in just the regime that it is in.

        Raises:
            ValueError: the table has no rows of the regime, or no network of it was timed.
        """
        return self.predict_operators([n.spec for n in executed_nodes(graph)], graph.regime)

    def predict_operators(self, operators: Sequence[OperatorSpec], regime: Regime) -> Prediction:
        """Return the latency of a network that executes just these operators, in one regime.

        Raises:
            ValueError: as `predict_form`.
        """
        counts = Counter(operators)
        self._prices.check(list(counts))
        prices = {spec: self.price(spec) for spec in counts}
        total = math.fsum(prices[spec].ns * count for spec, count in counts.items())
        calibration = self._table.calibration_of(regime)
        # A row's error repeats with every use of the row; errors of different rows do not.
        of_rows = math.hypot(*(prices[spec].spread_ns * n for spec, n in counts.items()))
        latency, low, high = (float(ns) for ns in calibrated_ns(calibration, total, of_rows))
        sources = Counter[PriceSource]()
        for spec, count in counts.items():
            sources[prices[spec].source] += count
        return Prediction(
            latency_ms=ns_to_ms(latency),
            low_ms=ns_to_ms(low),
            high_ms=ns_to_ms(high),
            **{source.value: sources[source] for source in PriceSource},
            regime=regime,
            table_version=self._table.version,
            target_fingerprint=self._table.target.fingerprint,
        )

    def _forms(self, graph: NetworkGraph) -> list[NetworkGraph]:
        if self._table.library is None or graph.regime is Regime.LIBRARY or graph.int8_names:
            return [graph]
        return [graph, library_form(graph)]


def _latency(prediction: Prediction) -> float:
    return prediction.latency_ms
