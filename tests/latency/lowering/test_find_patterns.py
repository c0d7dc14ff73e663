"""Layers get the pattern and density with which the operator library will execute them."""

import numpy as np
import pytest

from latency.graph import INPUT, NetworkGraph
from latency.library_form import library_form
from latency.lowering.build import build_model
from latency.lowering.find_patterns import find_patterns, true_density
from latency.lowering.patterns import random_mask
from latency.lowering.read_model import ReadNetwork
from latency.lowering.weights import random_weights
from latency.operator import OperatorKind, OperatorSpec, SparsityPattern
from tests.latency.lowering.models import Array
from tests.latency.samples import conv, linear, node, small_network

DENSE, BLOCK = SparsityPattern.DENSE, SparsityPattern.BLOCK
UNSTRUCTURED = SparsityPattern.UNSTRUCTURED


def found(spec: OperatorSpec, mask: Array) -> OperatorSpec:
    nodes = (node("only", spec, INPUT),)
    weights = random_weights(0)(nodes[0])
    weights["weight"] *= mask
    graph = NetworkGraph(input_shape=spec.in_shape, nodes=nodes)
    network = find_patterns(ReadNetwork(graph=graph, weights={"only": weights}))
    (executed,) = (
        n for n in build_model(library_form(network.graph), network.source).graph.node if n.domain
    )
    (values,) = (
        list(tensor.dims)
        for tensor in build_model(library_form(network.graph), network.source).graph.initializer
        if tensor.name == "only.values"
    )
    got = network.graph.operators[0]
    assert executed.op_type == ("SparseGemm" if spec.kind is OperatorKind.LINEAR else "SparseConv")
    rows = values[1]
    groups = -(-spec.out_channels // rows) * weights["weight"][0].size
    assert got.density == pytest.approx(max(1e-4, values[0] / groups), abs=6e-5)
    return got


def mask_of(spec: OperatorSpec, pattern: SparsityPattern, density: float) -> Array:
    rng = np.random.default_rng(2)
    return random_mask(pattern, spec.weight_shape or (), density, rng).astype(np.float32)


@pytest.mark.parametrize("spec", [conv(16, 24, kernel=3, padding=1), conv(16, 22), linear(32, 40)])
@pytest.mark.parametrize("pattern", [BLOCK, UNSTRUCTURED])
def test_the_pattern_that_made_the_zeros_is_found(
    spec: OperatorSpec, pattern: SparsityPattern
) -> None:
    got = found(spec, mask_of(spec, pattern, 0.2))
    assert got.pattern is pattern
    assert got.density == pytest.approx(0.2, abs=0.01)


def test_few_zeros_are_blocks_because_they_are_faster() -> None:
    spec = conv(16, 24)
    assert found(spec, mask_of(spec, UNSTRUCTURED, 0.9)).pattern in (DENSE, BLOCK)
    assert found(spec, np.ones((24, 16, 1, 1), np.float32)) == spec


def test_rows_that_do_not_fill_blocks() -> None:
    """Every fourth filter alone has weights: blocks would pay for three zeros with each."""
    mask = np.zeros((24, 16, 1, 1), np.float32)
    mask[::4] = 1.0
    assert found(conv(16, 24), mask).pattern is UNSTRUCTURED


def test_an_empty_layer_and_groups() -> None:
    spec = conv(16, 24)
    assert found(spec, np.zeros((24, 16, 1, 1), np.float32)).density == 1e-4
    grouped = conv(16, 24, groups=2)
    assert found(grouped, mask_of(grouped, BLOCK, 0.25)).pattern is BLOCK


def test_depthwise_and_what_has_no_weights_stay() -> None:
    graph = small_network()
    weights = {n.name: random_weights(0)(n) for n in graph.nodes if n.spec.weight_shape}
    assert find_patterns(ReadNetwork(graph=graph, weights=weights)).graph == graph
    weights["left"]["weight"][:8] = 0.0
    assert find_patterns(ReadNetwork(graph=graph, weights=weights)).graph == graph
    assert true_density(weights["left"]) == 0.5
