"""Networks are priced as they will be when they are sparse."""

from dataclasses import replace

import numpy as np
import pytest

from latency.estimate.lookup_table import TableEstimator
from latency.library_form import library_form
from latency.operator import OperatorKind, OperatorSpec, Regime, SparsityPattern
from latency.table import Calibration, LatencyTable
from latency.target import Target
from search.space.dass_cells import build_graph, conv_spec, depthwise_spec, plain_spec, reduce_spec
from search.space.planned_space import PlannedSpace
from search.space.sampling import random_genotype
from search.space.sparsity import Sparsity, sparse_spec, with_sparsity
from tests.search.space.tables import SMALL, formula_table

BLOCK = SparsityPattern.BLOCK
PLANNED = Sparsity(pattern=BLOCK, density=0.2)
SPACE = PlannedSpace(channels=4, cells=3, task=SMALL, sparsity=PLANNED)


def with_library(library_factor: float) -> LatencyTable:
    """A table in which the library costs a multiple of stock operators, times the density."""
    stock = formula_table(4, 3, SMALL)
    target = replace(stock.target, operator_library="1+test")
    costs = TableEstimator(stock)
    rows = tuple(
        replace(
            stock.rows[0],
            spec=spec,
            median_ns=library_factor * spec.density * costs.price(_stock(spec)).ns,
        )
        for spec in SPACE.usage(target).points
        if spec.regime is Regime.LIBRARY
    )
    return replace(
        stock, target=target, rows=stock.rows + rows, library=Calibration(networks=6, sigma=0.02)
    )


def _stock(spec: OperatorSpec) -> OperatorSpec:
    return replace(spec.dense(), regime=Regime.STOCK, relu_input=False, residual=False)


def test_only_full_layers_become_sparse() -> None:
    wide = conv_spec(8, 16, 8)
    assert sparse_spec(wide, PLANNED) == replace(wide, pattern=BLOCK, density=0.2)
    assert sparse_spec(reduce_spec(8, 8, 8), PLANNED).density == pytest.approx(0.05)
    for spec in (depthwise_spec(8, 8, kernel=3), plain_spec(OperatorKind.RELU, 8, 8)):
        assert sparse_spec(spec, PLANNED) == spec
    every = replace(PLANNED, depthwise=True)
    channelwise = sparse_spec(depthwise_spec(8, 8, kernel=3), every)
    assert (channelwise.pattern, channelwise.density) == (SparsityPattern.UNSTRUCTURED, 0.2)
    chosen = replace(wide, pattern=SparsityPattern.UNSTRUCTURED, density=0.7)
    assert sparse_spec(chosen, PLANNED) == chosen


def test_the_stem_stays_dense_and_the_classifier_does_not() -> None:
    graph = build_graph(random_genotype(np.random.default_rng(0), 4, 3), SMALL)
    sparse = {node.name: node.spec for node in with_sparsity(graph, PLANNED).nodes}
    assert sparse["stem.conv"].pattern is SparsityPattern.DENSE
    assert sparse["logits"].pattern is BLOCK


def test_a_target_without_library_is_priced_dense() -> None:
    table = formula_table(4, 3, SMALL)
    graph = build_graph(random_genotype(np.random.default_rng(1), 4, 3), SMALL)
    planned, plain = SPACE.estimator(table), TableEstimator(table)
    assert planned.regime is Regime.STOCK
    assert planned.predict(graph) == plain.predict(graph)
    assert planned.price(conv_spec(4, 4, 8)) == plain.price(conv_spec(4, 4, 8))


def test_the_cheaper_regime_is_found_and_its_form_returned() -> None:
    graph = build_graph(random_genotype(np.random.default_rng(1), 4, 3), SMALL)
    sparse = with_sparsity(graph, PLANNED)
    fast = SPACE.estimator(with_library(1.0))
    assert fast.regime is fast.predict(graph).regime is Regime.LIBRARY
    assert fast.fastest_form(graph) == library_form(sparse)
    slow = SPACE.estimator(with_library(50.0))
    assert slow.regime is slow.predict(graph).regime is Regime.STOCK
    assert slow.fastest_form(graph) == sparse


def test_the_whole_of_a_network_is_priced_in_one_regime() -> None:
    table = with_library(1.0)
    graph = build_graph(random_genotype(np.random.default_rng(2), 4, 3), SMALL)
    form = library_form(with_sparsity(graph, PLANNED))
    prices = TableEstimator(table)
    total = sum(prices.price(node.spec).ns for node in form.nodes)
    assert SPACE.estimator(table).predict(graph).latency_ms == pytest.approx(total / 1e6)


def test_operators_that_the_library_fuses_cost_nothing() -> None:
    planned = SPACE.estimator(with_library(1.0))
    assert planned.price(plain_spec(OperatorKind.RELU, 4, 8)).ns == 0.0
    dense, sparse = conv_spec(4, 4, 8), planned.price(conv_spec(4, 4, 8))
    assert 0.0 < sparse.ns < TableEstimator(with_library(1.0)).price(dense).ns


def test_every_network_of_the_space_is_priced_from_rows() -> None:
    table = with_library(1.0)
    estimator = SPACE.estimator(table)
    rng = np.random.default_rng(3)
    for _ in range(20):
        found = estimator.predict(build_graph(random_genotype(rng, 4, 3), SMALL))
        assert found.measured + found.interpolated > 10 * found.estimated


def test_rows_of_a_target_without_library_are_stock() -> None:
    target: Target = formula_table(4, 3, SMALL).target
    assert {spec.regime for spec in SPACE.usage(target).points} == {Regime.STOCK}
