import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.estimate.lookup_table import TableEstimator
from latency.operator import OperatorKind
from search.space.dass_cells import build_graph
from search.space.prices import (
    MIXED_EDGES,
    largest_genotype,
    mixed_edge,
    operation_prices,
    smallest_genotype,
)
from search.space.primitives import OPERATIONS
from tests.search.space.tables import (
    DIGITS,
    cost_ns,
    formula_estimator,
    latency_ms,
    some_genotype,
)

SKIP = "skip_connect"
ESTIMATOR: TableEstimator = formula_estimator(16, 5, DIGITS)
PRICES = operation_prices(ESTIMATOR, 16, 5, DIGITS)


def test_shape_and_order() -> None:
    assert PRICES.normal.shape == PRICES.reduce.shape == (14, 8)
    assert MIXED_EDGES[:5] == ((0, 0), (0, 1), (1, 0), (1, 1), (1, 2))
    assert [mixed_edge(index, 1) for index in range(8)] == [1, 1, 3, 3, 6, 6, 10, 10]


def test_none_is_free_and_skip_nearly_where_nothing_runs() -> None:
    assert not PRICES.normal[:, OPERATIONS.index("none")].any()
    assert not PRICES.reduce[:, OPERATIONS.index("none")].any()
    skip = OPERATIONS.index(SKIP)
    others = [column for column, name in enumerate(OPERATIONS) if name not in ("none", SKIP)]
    assert (PRICES.normal[:, [skip]] < PRICES.normal[:, others]).all()
    halving = np.array([source < 2 for _, source in MIXED_EDGES])
    assert PRICES.reduce[halving, skip].min() > 5 * PRICES.reduce[~halving, skip].max()


def test_larger_kernels_cost_more() -> None:
    for kind in ("sep_conv", "dil_conv"):
        small, large = (OPERATIONS.index(f"{kind}_{size}") for size in ("3x3", "5x5"))
        assert (PRICES.normal[:, large] > PRICES.normal[:, small]).all()


def test_entries_add_up_to_the_graph() -> None:
    genotype = some_genotype(3, 16, 5).with_layers(())
    specs = build_graph(genotype, DIGITS).operators
    shared = [s for s in specs if s.kind in (OperatorKind.RELU, OperatorKind.ADD)]
    least = sum(cost_ns(spec) for spec in specs) - sum(cost_ns(spec) for spec in shared)
    total = PRICES.total_ns(genotype)
    # ReLUs and sums are the only parts that are shared out on average.
    assert least <= total <= least + 2.0 * sum(cost_ns(spec) for spec in shared)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_line_predicts_any_network(seed: int) -> None:
    genotype = some_genotype(seed, 16, 5).with_layers(())
    predicted = PRICES.latency_ns(genotype) / 1e6
    assert predicted == pytest.approx(latency_ms(ESTIMATOR, genotype, DIGITS), rel=0.08)


def test_line_reports_how_well_it_fits() -> None:
    assert 0.0 <= PRICES.relative_error < 0.03
    assert PRICES.slope > 0


def test_no_network_is_cheaper_than_the_smallest() -> None:
    smallest, prediction = smallest_genotype(ESTIMATOR, 16, 5, DIGITS)
    assert prediction.latency_ms == latency_ms(ESTIMATOR, smallest, DIGITS)
    found = [latency_ms(ESTIMATOR, some_genotype(seed, 16, 5), DIGITS) for seed in range(150)]
    assert prediction.latency_ms < min(found)


def test_largest_is_above_random_networks() -> None:
    _, prediction = largest_genotype(ESTIMATOR, 16, 5, DIGITS)
    found = [latency_ms(ESTIMATOR, some_genotype(seed, 16, 5), DIGITS) for seed in range(150)]
    assert prediction.latency_ms > max(found)


def test_prices_are_finite_and_not_negative() -> None:
    for matrix in (PRICES.normal, PRICES.reduce):
        assert np.isfinite(matrix).all()
        assert (matrix >= 0).all()
