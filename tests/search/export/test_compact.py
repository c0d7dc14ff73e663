import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.graph import INPUT, OUTPUT, GraphNode, NetworkGraph
from latency.lowering.build import build_model
from latency.lowering.compact import compact
from latency.lowering.weights import random_weights
from latency.operator import Activation, OperatorKind, OperatorSpec
from search.export.fold import NetworkWeights, weight_source
from search.export.parity import run_model
from search.space.dass_cells import WIDTH_STEPS, build_graph
from tests.search.space.tables import DIGITS, SMALL, formula_estimator, some_genotype

SEED_WITH_SEPARABLE = 8


def weights_of(graph: NetworkGraph, seed: int) -> NetworkWeights:
    source = random_weights(seed)
    weights = {node.name: source(node) for node in graph.nodes if node.parameters}
    for name in weights:
        if "depthwise" in name:
            weights[name]["bias"][:] = 0.0
    return weights


def kill(weights: NetworkWeights, rng: np.random.Generator, share: float) -> None:
    """Zero random rows and columns, as pruning does."""
    for arrays in weights.values():
        rows = rng.random(len(arrays["bias"])) < share
        arrays["weight"][rows] = 0.0
        arrays["bias"][rows] = 0.0
        if arrays["weight"].ndim == 4:
            arrays["weight"][:, rng.random(arrays["weight"].shape[1]) < share] = 0.0


def outputs(graph: NetworkGraph, weights: NetworkWeights) -> np.ndarray:
    images = np.random.default_rng(0).normal(size=(3, *graph.input_shape)).astype(np.float32)
    model = build_model(graph, weight_source(weights))
    return run_model(model.SerializeToString(), images)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 100_000), share=st.floats(0.0, 0.7))
def test_compaction_is_exact(seed: int, share: float) -> None:
    graph = build_graph(some_genotype(seed), SMALL)
    weights = weights_of(graph, seed)
    kill(weights, np.random.default_rng(seed), share)
    small, kept = compact(graph, weights)
    before, after = outputs(graph, weights), outputs(small, kept)
    np.testing.assert_allclose(after, before, atol=1e-5 * max(1.0, np.abs(before).max()))


def test_dead_middle_channels_leave_all_three_layers() -> None:
    graph = build_graph(some_genotype(SEED_WITH_SEPARABLE, 8, 3).with_layers(()), SMALL)
    weights = weights_of(graph, 0)
    edge = next(n.name for n in graph.nodes if "pointwise1" in n.name).removesuffix(".pointwise1")
    weights[f"{edge}.pointwise1"]["weight"][[1, 2]] = 0.0  # never written
    weights[f"{edge}.pointwise1"]["bias"][[1, 2]] = 0.0
    weights[f"{edge}.depthwise2"]["weight"][4] = 0.0  # never passed on
    weights[f"{edge}.pointwise2"]["weight"][:, 6] = 0.0  # never read
    small, kept = compact(graph, weights)
    specs = {node.name: node.spec for node in small.nodes}
    width = weights[f"{edge}.pointwise1"]["bias"].size - 4
    assert specs[f"{edge}.pointwise1"].out_channels == width
    assert specs[f"{edge}.depthwise2"].groups == width
    assert specs[f"{edge}.pointwise2"].in_channels == width
    assert kept[f"{edge}.depthwise2"]["weight"].shape[0] == width
    np.testing.assert_allclose(outputs(small, kept), outputs(graph, weights), atol=1e-5)


def test_constant_channel_stays() -> None:
    """A channel without weights but with a bias is not zero, so it may not leave."""
    graph = build_graph(some_genotype(SEED_WITH_SEPARABLE, 8, 3).with_layers(()), SMALL)
    weights = weights_of(graph, 0)
    layer = next(n.name for n in graph.nodes if "pointwise1" in n.name)
    weights[layer]["weight"][0] = 0.0
    weights[layer]["bias"][0] = 2.0
    assert compact(graph, weights)[0] == graph


def test_bias_behind_a_dead_channel_stays() -> None:
    graph, weights = _biased_chain()
    small, kept = compact(graph, weights)
    assert small == graph
    np.testing.assert_array_equal(outputs(small, kept), outputs(graph, weights))


def test_dead_stem_channels_leave_every_reader() -> None:
    graph = build_graph(some_genotype(2, 4, 3), SMALL)
    weights = weights_of(graph, 0)
    weights["stem.conv"]["weight"][[0, 5, 11]] = 0.0
    weights["stem.conv"]["bias"][[0, 5, 11]] = 0.0
    small, kept = compact(graph, weights)
    specs = {node.name: node.spec for node in small.nodes}
    assert specs["stem.conv"].out_channels == 9
    assert specs["cells.0.preprocess0.conv"].in_channels == 9
    np.testing.assert_allclose(outputs(small, kept), outputs(graph, weights), atol=1e-5)


def test_network_without_dead_channels_stays_as_it_is() -> None:
    graph = build_graph(some_genotype(5), SMALL)
    assert compact(graph, weights_of(graph, 0))[0] == graph


def test_whole_layer_dead_keeps_one_channel() -> None:
    graph = build_graph(some_genotype(SEED_WITH_SEPARABLE, 8, 3), SMALL)
    weights = weights_of(graph, 0)
    layer = next(n.name for n in graph.nodes if "pointwise1" in n.name)
    weights[layer]["weight"][:] = 0.0
    weights[layer]["bias"][:] = 0.0
    small, kept = compact(graph, weights)
    assert next(n.spec.out_channels for n in small.nodes if n.name == layer) == 1
    np.testing.assert_allclose(outputs(small, kept), outputs(graph, weights), atol=1e-5)


@pytest.mark.parametrize(("dead", "width"), [(3, 16), (4, 12), (9, 8), (15, 4)])
def test_estimator_allows_only_measured_widths(dead: int, width: int) -> None:
    """Channels 16 wide: 13 live ones stay 16, since the table has no row for 13 to 15."""
    graph = build_graph(some_genotype(SEED_WITH_SEPARABLE, 16, 3).with_layers(()), DIGITS)
    weights = weights_of(graph, 0)
    layer = next(n.name for n in graph.nodes if "pointwise1" in n.name)
    assert len(weights[layer]["bias"]) == 16
    weights[layer]["weight"][:dead] = 0.0
    weights[layer]["bias"][:dead] = 0.0
    small, kept = compact(graph, weights, formula_estimator(16, 3, DIGITS), width_steps=WIDTH_STEPS)
    assert next(n.spec.out_channels for n in small.nodes if n.name == layer) == width
    np.testing.assert_allclose(outputs(small, kept), outputs(graph, weights), atol=1e-5)


def _biased_chain() -> tuple[NetworkGraph, NetworkWeights]:
    first = OperatorSpec(
        kind=OperatorKind.CONV,
        in_channels=2,
        out_channels=4,
        height=4,
        width=4,
        activation=Activation.RELU,
    )
    middle = OperatorSpec(
        kind=OperatorKind.CONV,
        in_channels=4,
        out_channels=4,
        height=4,
        width=4,
        kernel=3,
        padding=1,
        groups=4,
    )
    last = OperatorSpec(kind=OperatorKind.CONV, in_channels=4, out_channels=3, height=4, width=4)
    nodes = (
        GraphNode(name="a", spec=first, inputs=(INPUT,), parameters="a"),
        GraphNode(name="b", spec=middle, inputs=("a",), parameters="b"),
        GraphNode(name=OUTPUT, spec=last, inputs=("b",), parameters="c"),
    )
    graph = NetworkGraph(input_shape=(2, 4, 4), nodes=nodes)
    source = random_weights(3)
    weights = {node.name: source(node) for node in nodes}
    weights["a"]["weight"][1] = 0.0
    weights["a"]["bias"][1] = 0.0
    return graph, weights
