"""From a model with zeros to the fastest one that computes the same."""

from dataclasses import replace

import numpy as np
import onnx
import pytest

from latency.estimate.lookup_table import TableEstimator
from latency.graph import INPUT, NetworkGraph
from latency.kernels.library import DOMAIN
from latency.lowering.fastest_form import FastestForm, fastest_form, operators_to_measure
from latency.lowering.patterns import random_mask
from latency.lowering.read_model import ReadNetwork, read_model
from latency.lowering.weights import random_weights
from latency.operator import OperatorKind, OperatorSpec, Regime, SparsityPattern
from tests.latency.lowering.masked import BALANCED, cost_ns, masked_model, masked_table
from tests.latency.lowering.models import assert_same, random, run
from tests.latency.samples import conv, node, row, table


def check(form: FastestForm) -> FastestForm:
    onnx.checker.check_model(form.model)
    image = random(1, 3, 8, 8, seed=4)
    wanted = run(masked_model(), image)
    for library in (False, True):
        assert_same(run(form.model, image, library=library), wanted)
    return form


def test_without_a_table_the_library_executes_what_is_left() -> None:
    form = check(fastest_form(masked_model()))
    assert form.regime is Regime.LIBRARY
    assert form.removed_channels == 8
    assert not form.predictions
    assert {node.domain for node in form.model.graph.node} >= {DOMAIN}
    patterns = {layer.name: layer.spec.pattern for layer in form.layers}
    assert patterns["third"] is SparsityPattern.UNSTRUCTURED
    assert patterns["second"] is SparsityPattern.BLOCK
    assert [layer.density for layer in form.layers][1] == pytest.approx(1 / 6)


def test_stock_forms_are_taken_where_no_library_is() -> None:
    form = check(fastest_form(masked_model(), TableEstimator(masked_table(library_slope=None))))
    assert form.regime is Regime.STOCK
    assert set(form.predictions) == {Regime.STOCK}
    second = form.network.graph.operators[1]
    assert (second.pattern, second.block_filters, second.density) == (BALANCED, 32, 0.25)
    assert second.kernel_shape == (2, 3)
    ops = [node.op_type for node in form.model.graph.node]
    assert ops.count("Gather") == 1
    assert not form.unmeasured


@pytest.mark.parametrize(("slope", "regime"), [(0.01, Regime.LIBRARY), (100.0, Regime.STOCK)])
def test_the_cheaper_regime_is_built(slope: float, regime: Regime) -> None:
    form = check(fastest_form(masked_model(), TableEstimator(masked_table(library_slope=slope))))
    assert form.regime is regime
    assert set(form.predictions) == {Regime.STOCK, Regime.LIBRARY}
    best = form.predictions[regime].latency_ms
    assert best == min(found.latency_ms for found in form.predictions.values())


def test_dead_channels_stay_where_fewer_would_be_slower() -> None:
    """A runtime on which 64 channels take longer than 72: the whole is priced, so 72 stay."""

    def cost(spec: OperatorSpec) -> float:
        return cost_ns(spec) + (
            1e6 if spec.kind is OperatorKind.CONV and 64 in spec.in_shape else 0.0
        )

    model = masked_model()
    rows = masked_table(library_slope=None, cost=cost).rows
    full = [row(spec, cost(spec)) for spec in read_model(model).graph.operators]
    known = {each.spec for each in rows}
    more = table(*rows, *(each for each in full if each.spec not in known))
    form = check(fastest_form(model, TableEstimator(more)))
    assert form.removed_channels == 0


def test_what_has_no_row_is_named() -> None:
    whole = masked_table(library_slope=None)
    built = fastest_form(masked_model(), TableEstimator(whole)).network.graph.operators
    less = replace(whole, rows=tuple(each for each in whole.rows if each.spec != built[0]))
    form = check(fastest_form(masked_model(), TableEstimator(less)))
    assert form.unmeasured == (built[0],)


def test_operators_to_measure_are_what_both_regimes_can_be_built_of() -> None:
    specs = operators_to_measure(masked_model())
    assert len(set(specs)) == len(specs)
    for slope in (0.01, 100.0):
        form = fastest_form(masked_model(), TableEstimator(masked_table(library_slope=slope)))
        assert not form.unmeasured


def test_a_network_can_be_given_instead_of_a_model() -> None:
    network = read_model(masked_model())
    again = fastest_form(network)
    assert again.model == fastest_form(masked_model()).model


def test_dead_channels_stay_where_they_keep_blocks_whole() -> None:
    """One of every eight filters is not read; without it the next block would begin too early."""
    specs = (conv(32, 64, kernel=3, padding=1), conv(64, 32))
    nodes = (node("a", specs[0], INPUT), node("b", specs[1], "a"))
    weights = {each.name: random_weights(0)(each) for each in nodes}
    mask = random_mask(SparsityPattern.BLOCK, (64, 32, 3, 3), 0.1, np.random.default_rng(0))
    weights["a"]["weight"] *= mask
    weights["b"]["weight"][:, 3::8] = 0.0
    graph = NetworkGraph(input_shape=(32, 8, 8), nodes=nodes)
    form = fastest_form(ReadNetwork(graph=graph, weights=weights))
    assert form.removed_channels == 0
    assert form.network.graph.operators[0].pattern is SparsityPattern.BLOCK
    weights["b"]["weight"][:, 8:16] = 0.0  # two whole blocks
    form = fastest_form(ReadNetwork(graph=graph, weights=weights))
    assert form.removed_channels == 8
