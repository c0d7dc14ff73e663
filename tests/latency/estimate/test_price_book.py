"""A book of prices says what its estimator says, at every density, and asks it seldom."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.estimate.estimator import Price, PriceSource
from latency.estimate.lookup_table import TableEstimator
from latency.estimate.price_book import DENSITY_STEPS, NOTHING, PriceBook
from latency.operator import OperatorKind, OperatorSpec, Regime, SparsityPattern
from latency.table import Calibration, LatencyTable, TableRow
from latency.target import DeviceFacts, Target

DENSE = OperatorSpec(
    kind=OperatorKind.CONV,
    in_channels=16,
    out_channels=16,
    height=8,
    width=8,
    regime=Regime.LIBRARY,
)
SPARSE = replace(DENSE, pattern=SparsityPattern.BLOCK)
WITHOUT_ROWS = replace(SPARSE, in_channels=8)


def row(spec: OperatorSpec, ns: float, spread_ns: float) -> TableRow:
    return TableRow(
        spec=spec, median_ns=ns, spread_ns=spread_ns, samples=9, method="", measured_at=""
    )


TABLE = LatencyTable(
    target=Target(facts=DeviceFacts(machine="x", processor="x", cores=1), runtime_version="1"),
    version=1,
    rows=(
        row(replace(SPARSE, density=0.05), 700.0, 40.0),
        row(replace(SPARSE, density=0.2), 1500.0, 10.0),
        row(DENSE, 9000.0, 90.0),
    ),
    library=Calibration(),
)


class Counting(TableEstimator):
    """Counts what it is asked, and can bend the curve of an operator within two rows."""

    def __init__(self, knee: float | None = None) -> None:
        super().__init__(TABLE)
        self.asked, self.knee = 0, knee

    def price(self, spec: OperatorSpec) -> Price:
        self.asked += 1
        price = super().price(spec)
        if self.knee is None or spec.density < self.knee:
            return price
        return replace(price, ns=price.ns + 5000.0 * (spec.density - self.knee))


@settings(max_examples=20, deadline=None)
@given(
    steps=st.lists(st.integers(1, DENSITY_STEPS), min_size=1, max_size=8),
    spec=st.sampled_from([SPARSE, WITHOUT_ROWS]),
    knee=st.sampled_from([None, 0.1, 0.3, 0.77]),
)
def test_every_density_has_the_estimators_price(
    steps: list[int], spec: OperatorSpec, knee: float | None
) -> None:
    estimator = Counting(knee)
    book = PriceBook(estimator)
    positions = np.array([book.position(replace(spec, density=s / DENSITY_STEPS)) for s in steps])
    sums = book.sums(positions[:, None])
    for index, step in enumerate(steps):
        wanted = estimator.price(replace(spec, density=step / DENSITY_STEPS))
        assert sums.total_ns[index] == pytest.approx(wanted.ns, rel=1e-10)
        assert sums.spread_ns[index] == pytest.approx(wanted.spread_ns, rel=1e-10)
        assert sums.sources[index].tolist() == [s is wanted.source for s in PriceSource]


def test_a_whole_curve_costs_few_questions() -> None:
    estimator = Counting()
    book = PriceBook(estimator)
    start = book.position(SPARSE) - DENSITY_STEPS
    book.prices_ns(start + np.arange(1, DENSITY_STEPS + 1))
    assert estimator.asked < DENSITY_STEPS // 40


def test_a_row_used_twice_is_wrong_twice_in_the_same_way() -> None:
    book = PriceBook(TableEstimator(TABLE))
    dense, sparse = book.position(DENSE), book.position(replace(SPARSE, density=0.2))
    sums = book.sums(np.array([[dense, NOTHING, dense], [dense, sparse, NOTHING]]))
    assert sums.total_ns.tolist() == [18_000.0, 10_500.0]
    assert sums.spread_ns == pytest.approx([180.0, np.hypot(90.0, 10.0)])
    assert sums.sources[:, 0].tolist() == [2, 2]
