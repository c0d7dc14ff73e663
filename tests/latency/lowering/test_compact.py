"""Compaction beyond cells: linear layers, global pooling, and channels that are constants."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.graph import INPUT, NetworkGraph
from latency.lowering.build import build_model
from latency.lowering.compact import NetworkWeights, compact
from latency.lowering.constant_channels import is_constant, passed_on
from latency.lowering.weights import random_weights
from latency.operator import Activation, OperatorKind, OperatorSpec
from tests.latency.lowering.models import assert_same, random, run
from tests.latency.lowering.random_networks import random_network
from tests.latency.samples import conv, depthwise, linear, node, plain, pool

ACTIVATIONS = tuple(Activation)


def chain(*specs: OperatorSpec) -> tuple[NetworkGraph, NetworkWeights]:
    names = [INPUT, *(f"n{index}" for index in range(len(specs)))]
    nodes = tuple(node(names[i + 1], spec, names[i]) for i, spec in enumerate(specs))
    graph = NetworkGraph(input_shape=specs[0].in_shape, nodes=nodes)
    return graph, weights_of(graph)


def weights_of(graph: NetworkGraph, seed: int = 0) -> NetworkWeights:
    source = random_weights(seed)
    return {each.name: source(each) for each in graph.nodes if each.spec.weight_shape}


def check(graph: NetworkGraph, weights: NetworkWeights, **options: Any) -> NetworkGraph:
    """Compact, compare, return the smaller graph."""
    small, kept = compact(graph, weights, **options)
    image = random(1, *graph.input_shape, seed=3)
    before = build_model(graph, lambda each: weights.get(each.name, {}))
    after = build_model(small, lambda each: kept.get(each.name, {}))
    assert_same(run(after, image), run(before, image))
    return small


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1_000_000), share=st.floats(0.0, 1.0), fold=st.booleans())
def test_any_network_stays_the_same(*, seed: int, share: float, fold: bool) -> None:
    graph = random_network(seed)
    weights = weights_of(graph, seed)
    rng = np.random.default_rng(seed)
    for arrays in weights.values():
        dead = rng.random(len(arrays["bias"])) < share
        arrays["weight"][dead] = 0.0
        arrays["bias"][dead & (rng.random(len(dead)) < 0.5)] = 0.0
        arrays["weight"][:, rng.random(arrays["weight"].shape[1]) < share / 2] = 0.0
    check(graph, weights, fold_constants=fold)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_constants_go_into_the_bias_behind_them(activation: Activation) -> None:
    graph, weights = chain(
        conv(3, 8, activation=activation),
        pool(OperatorKind.AVG_POOL, 8),
        depthwise(8, kernel=1),
        conv(8, 5),
    )
    weights["n0"]["weight"][[1, 4]] = 0.0
    weights["n0"]["bias"][[1, 4]] = 0.7, -1.3
    assert check(graph, weights) == graph
    assert check(graph, weights, fold_constants=True).nodes[0].spec.out_channels == 6


def test_a_rectified_negative_constant_is_a_zero_even_for_a_padded_reader() -> None:
    graph, weights = chain(conv(3, 8, activation=Activation.RELU), conv(8, 5, kernel=3, padding=1))
    weights["n0"]["weight"][[1, 4]] = 0.0
    weights["n0"]["bias"][[1, 4]] = 0.7, -1.3
    assert check(graph, weights, fold_constants=True).nodes[0].spec.out_channels == 7


def test_a_constant_that_padding_interrupts_stays() -> None:
    graph, weights = chain(conv(3, 8), depthwise(8), conv(8, 5))
    weights["n0"]["weight"][2] = 0.0
    weights["n0"]["bias"][2] = 0.5
    assert check(graph, weights, fold_constants=True) == graph
    weights["n1"]["weight"][2] = 0.0  # then what it reads does not matter
    assert check(graph, weights, fold_constants=True).nodes[1].spec.groups == 7


def test_channels_leave_through_a_global_pooling_into_a_linear_layer() -> None:
    graph, weights = chain(
        conv(3, 8), plain(OperatorKind.GLOBAL_AVG_POOL, 8), linear(8, 6), linear(6, 4)
    )
    weights["n0"]["weight"][3] = 0.0
    weights["n2"]["weight"][:, 5] = 0.0
    weights["n2"]["weight"][1] = 0.0
    weights["n3"]["weight"][:, 0] = 0.0
    small = check(graph, weights, fold_constants=True)
    widths = [spec.out_channels for spec in small.operators]
    assert widths == [6, 6, 4, 4]


def test_channels_that_are_added_up_stay() -> None:
    nodes = (
        node("a", conv(3, 8), INPUT),
        node("b", conv(3, 8), INPUT),
        node("sum", plain(OperatorKind.ADD, 8, inputs=2), "a", "b"),
        node("c", conv(8, 4), "sum"),
    )
    graph = NetworkGraph(input_shape=(3, 8, 8), nodes=nodes)
    weights = weights_of(graph)
    weights["a"]["weight"][0] = 0.0
    weights["a"]["bias"][0] = 0.0
    assert check(graph, weights, fold_constants=True) == graph


def test_constants_without_folding_are_zeros_that_no_bias_made() -> None:
    arrays = {"weight": np.zeros((3, 1, 1, 1), np.float32), "bias": np.array([0, 1, 2], np.float32)}
    arrays["weight"][2] = 1.0
    np.testing.assert_array_equal(is_constant(arrays, fold=False), [0.0, np.nan, np.nan])
    np.testing.assert_array_equal(is_constant(arrays, fold=True), [0.0, 1.0, np.nan])
    spec = depthwise(3, kernel=1)
    values = np.array([0.0, 5.0, 3.0])
    np.testing.assert_array_equal(passed_on(spec, values, arrays, fold=True), [0.0, 1.0, 5.0])
    np.testing.assert_array_equal(
        passed_on(spec, values, arrays, fold=False), [0.0, np.nan, np.nan]
    )


def test_channels_leave_in_whole_groups() -> None:
    graph, weights = chain(conv(3, 14), conv(14, 4))
    dead = [1, *range(4, 8), 12, 13]
    weights["n0"]["weight"][dead] = 0.0
    weights["n0"]["bias"][dead] = 0.0
    assert check(graph, weights).nodes[0].spec.out_channels == 7
    assert check(graph, weights, group=4).nodes[0].spec.out_channels == 8
    assert compact(graph, weights, group=4)[1]["n1"]["weight"].shape[1] == 8
    assert check(graph, weights, group=14) == graph
