"""Densities by knapsack, held against every other choice on networks that are small enough."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.estimate.lookup_table import TableEstimator
from latency.graph import NetworkGraph
from latency.operator import Regime, SparsityPattern
from search.finalize.densities import (
    SPARSE_OPTIONS,
    AllocatedDensities,
    allocate_densities,
    measured_options,
)
from search.finalize.energies import LayerEnergies, layer_energies
from search.finalize.final_network import FinalNetwork
from search.finalize.network_energies import network_energies
from search.finalize.repair import BudgetInfeasibleError
from search.space.dass_cells import build_graph
from search.space.genotype import LayerChoice
from search.space.sparsity import Sparsity
from search.space.stage_genotype import BlockKind, Stage, StageGenotype
from search.space.stage_networks import build_stages
from tests.search.space.tables import (
    SMALL,
    exact_table,
    planned_space,
    some_genotype,
    sparse_table,
)

PLAIN = Stage(kind=BlockKind.PLAIN, width=8, depth=1)
STAGES = StageGenotype(
    stem=4, stages=(PLAIN, replace(PLAIN, width=16, stride=2), replace(PLAIN, width=16))
)
GRAPH = build_stages(STAGES, SMALL)
LAYERS = ("stages.0.0.conv", "stages.1.0.conv", "stages.2.0.conv", "logits")
OPTIONS = (
    Sparsity(pattern=SparsityPattern.BLOCK, density=0.25),
    Sparsity(pattern=SparsityPattern.BLOCK, density=0.05),
    Sparsity(pattern=SparsityPattern.UNSTRUCTURED, density=0.1),
)


ESTIMATOR = TableEstimator(exact_table(GRAPH))


def some_energies(graph: NetworkGraph, seed: int) -> dict[str, LayerEnergies]:
    rng = np.random.default_rng(seed)
    return {
        node.parameters: layer_energies([rng.standard_t(3, size=node.spec.weight_shape)])
        for node in graph.nodes
        if node.parameters
    }


ENERGIES = some_energies(GRAPH, 0)


def every_network() -> list[tuple[float, float]]:
    """Return (upper end of the interval, distortion) of each choice, by way of the genotype."""
    found = []
    for choice in product((None, *OPTIONS), repeat=len(LAYERS)):
        chosen = [(layer, o) for layer, o in zip(LAYERS, choice, strict=True) if o is not None]
        layers = tuple(
            LayerChoice(
                layer=layer,
                pattern=option.pattern,
                density=ENERGIES[layer].reached(option.pattern, option.density),
            )
            for layer, option in chosen
        )
        graph = build_stages(STAGES.with_layers(layers), SMALL)
        distortion = sum(
            ENERGIES[layer].distortion(option.pattern, option.density) for layer, option in chosen
        )
        found.append((ESTIMATOR.predict(graph).high_ms, distortion))
    return found


EVERY = every_network()
CHEAPEST_MS, DEAREST_MS = min(EVERY)[0], max(EVERY)[0]


def choices_of(found: AllocatedDensities) -> tuple[LayerChoice, ...]:
    """Return the choices as a genotype holds them; layers that stay dense have none."""
    return tuple(
        LayerChoice(layer=layer.layer, pattern=layer.pattern, density=layer.density)
        for layer in found.layers
        if layer.pattern is not SparsityPattern.DENSE
    )


def allocated(share: float) -> AllocatedDensities:
    budget_ms = CHEAPEST_MS + share * (DEAREST_MS - CHEAPEST_MS)
    return allocate_densities(GRAPH, ESTIMATOR, ENERGIES, budget_ms, OPTIONS)


@settings(max_examples=40, deadline=None)
@given(share=st.floats(0.01, 1.1))
def test_no_choice_within_the_budget_distorts_less(share: float) -> None:
    budget_ms = CHEAPEST_MS + share * (DEAREST_MS - CHEAPEST_MS)
    found = allocate_densities(GRAPH, ESTIMATOR, ENERGIES, budget_ms, OPTIONS)
    assert found.prediction.high_ms <= budget_ms
    # A capacity is found to a thousandth of its range, and prices are whole nanoseconds.
    slack_ms = 0.002 * (DEAREST_MS - CHEAPEST_MS) + 2e-5
    best = min((lost for high_ms, lost in EVERY if high_ms <= budget_ms - slack_ms), default=np.inf)
    assert found.distortion <= best + 1e-9
    assert found.lower_bound <= best + 1e-9


@settings(max_examples=25, deadline=None)
@given(shares=st.lists(st.floats(0.01, 1.1), min_size=2, max_size=4))
def test_more_budget_never_distorts_more(shares: list[float]) -> None:
    found = [allocated(share) for share in sorted(shares)]
    lost = [one.distortion for one in found]
    assert lost == sorted(lost, reverse=True)


def test_what_is_returned_is_the_network_of_its_choices() -> None:
    found = allocated(0.4)
    assert found.graph == build_stages(STAGES.with_layers(choices_of(found)), SMALL)
    assert found.prediction == ESTIMATOR.predict(found.graph)
    assert found.prediction.regime is Regime.LIBRARY
    assert found.distortion == pytest.approx(sum(layer.distortion for layer in found.layers))
    assert [layer.layer for layer in found.layers] == list(LAYERS)


def test_a_rich_budget_leaves_all_dense() -> None:
    found = allocated(1.5)
    assert choices_of(found) == ()
    assert found.distortion == 0.0


def test_too_small_a_budget_is_refused_and_names_one_that_can_be_met() -> None:
    with pytest.raises(BudgetInfeasibleError, match="no choice of patterns and densities") as error:
        allocated(-0.01)
    smallest_ms = error.value.smallest_feasible_ms
    found = allocate_densities(GRAPH, ESTIMATOR, ENERGIES, smallest_ms, OPTIONS)
    assert found.prediction.high_ms <= smallest_ms == pytest.approx(CHEAPEST_MS, rel=1e-3)


def test_only_measured_patterns_and_the_plan_are_options() -> None:
    plan = Sparsity(pattern=SparsityPattern.BLOCK, density=0.2)
    assert measured_options(ESTIMATOR.table, plan) == (*SPARSE_OPTIONS, plan)
    rows = ESTIMATOR.table.rows
    blocks = tuple(row for row in rows if row.spec.pattern is not SparsityPattern.UNSTRUCTURED)
    found = measured_options(replace(ESTIMATOR.table, rows=blocks), plan)
    assert {option.pattern for option in found} == {SparsityPattern.BLOCK}
    stock = tuple(row for row in rows if row.spec.regime is Regime.STOCK)
    assert measured_options(replace(ESTIMATOR.table, rows=stock), plan) == (plan,)


def test_stock_runtimes_gain_nothing_by_zeros() -> None:
    table = replace(ESTIMATOR.table, library=None)
    stock = TableEstimator(table)
    dense_ms = stock.predict(GRAPH).high_ms
    found = allocate_densities(GRAPH, stock, ENERGIES, dense_ms)
    assert choices_of(found) == ()
    with pytest.raises(BudgetInfeasibleError):
        allocate_densities(GRAPH, stock, ENERGIES, 0.99 * dense_ms)


def test_layers_with_a_pattern_keep_it() -> None:
    own = (LayerChoice(layer=LAYERS[1], pattern=SparsityPattern.BLOCK, density=0.5),)
    graph = build_stages(STAGES.with_layers(own), SMALL)
    found = allocate_densities(graph, ESTIMATOR, ENERGIES, CHEAPEST_MS * 1.5, OPTIONS)
    assert [layer.layer for layer in found.layers] == [LAYERS[0], *LAYERS[2:]]
    assert found.graph == build_stages(STAGES.with_layers(own + choices_of(found)), SMALL)


def test_missing_weights_are_named() -> None:
    with pytest.raises(ValueError, match=r"no weights of \['stages.0.0.conv'\]"):
        allocate_densities(GRAPH, ESTIMATOR, {k: ENERGIES[k] for k in LAYERS[1:]}, 1.0)


def test_cells_with_widths_and_factorized_reduces() -> None:
    space = planned_space()
    estimator = TableEstimator(sparse_table(space, 0.8))
    genotype = some_genotype(5)
    graph = build_graph(genotype, SMALL)
    energies = network_energies(FinalNetwork(genotype, SMALL))
    dense_ms = estimator.predict(graph).high_ms
    options = [option for option in SPARSE_OPTIONS if option.pattern is SparsityPattern.BLOCK]
    found = allocate_densities(graph, estimator, energies, 0.8 * dense_ms, options)
    assert found.prediction.high_ms <= 0.8 * dense_ms
    assert found.graph == build_graph(
        genotype.with_layers(genotype.layers + choices_of(found)), SMALL
    )
    assert any(layer.layer.endswith("preprocess0") for layer in found.layers), "a merged reduce"
    FinalNetwork(genotype.with_layers(genotype.layers + choices_of(found)), SMALL)
