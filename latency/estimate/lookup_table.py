"""TableEstimator: a network costs the calibrated sum of its operators' marginal costs."""

import math
from collections import Counter

from latency.estimate.estimator import Prediction, Price, PriceSource
from latency.estimate.execution import executed_nodes
from latency.estimate.operator_prices import OperatorPrices
from latency.estimate.quantile import t_quantile_90
from latency.graph import NetworkGraph
from latency.operator import OperatorSpec
from latency.table import LatencyTable
from latency.units import ns_to_ms

# Relative standard deviation where no whole network was measured: plain sums of marginal costs
# were up to 13 % below whole networks on x86-64.
UNCALIBRATED_SIGMA = 0.08


class TableEstimator:
    """Prices operators from the rows of one table, and networks as calibrated sums."""

    def __init__(self, table: LatencyTable) -> None:
        self._table = table
        self._prices = OperatorPrices(table.rows)

    @property
    def table(self) -> LatencyTable:
        """The table version that every answer rests on."""
        return self._table

    def price(self, spec: OperatorSpec) -> Price:
        """Return the marginal cost of one operator, before calibration; never negative.

        Raises:
            ValueError: the table has no rows at all.
        """
        return self._prices.price(spec)

    def predict(self, graph: NetworkGraph) -> Prediction:
        """Return the latency of a whole network with its 90 % interval.

        Raises:
            ValueError: the table has no rows at all.
        """
        counts = Counter(node.spec for node in executed_nodes(graph))
        prices = {spec: self.price(spec) for spec in counts}
        total = math.fsum(prices[spec].ns * count for spec, count in counts.items())
        calibration = self._table.calibration
        latency = max(0.0, calibration.intercept_ns + calibration.slope * total)
        # A row's error repeats with every use of the row; errors of different rows do not.
        of_rows = math.hypot(*(prices[spec].spread_ns * n for spec, n in counts.items()))
        half = math.hypot(calibration.slope * of_rows, self._unexplained() * latency)
        sources = Counter[PriceSource]()
        for spec, count in counts.items():
            sources[prices[spec].source] += count
        return Prediction(
            latency_ms=ns_to_ms(latency),
            low_ms=ns_to_ms(max(0.0, latency - half)),
            high_ms=ns_to_ms(latency + half),
            measured=sources[PriceSource.MEASURED],
            interpolated=sources[PriceSource.INTERPOLATED],
            estimated=sources[PriceSource.ESTIMATED],
        )

    def _unexplained(self) -> float:
        """Return the relative half width of what rows do not explain, at 90 %."""
        calibration = self._table.calibration
        if calibration.networks == 0:
            return t_quantile_90(math.inf) * UNCALIBRATED_SIGMA
        return t_quantile_90(max(1, calibration.networks - 1)) * calibration.sigma
