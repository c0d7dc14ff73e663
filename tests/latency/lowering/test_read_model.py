"""What is read computes the same, whether the model is ours or not."""

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from latency.lowering.build import build_model
from latency.lowering.read_model import ReadNetwork, read_model
from latency.lowering.weights import random_weights
from latency.operator import Activation, OperatorKind
from tests.latency.lowering.models import assert_same, chain, random, run
from tests.latency.lowering.random_networks import random_network

make = helper.make_node
CONV = {"w": random(6, 4, 3, 3), "b": random(6, seed=1)}
SAME = {"pads": [1, 1, 1, 1]}


def conv(output: str = "y", source: str = "x", **attributes: Any) -> onnx.NodeProto:
    return make("Conv", [source, "w", "b"], [output], name="conv", **attributes)


def check(model: onnx.ModelProto, shape: tuple[int, ...] = (4, 8, 8)) -> ReadNetwork:
    """Read, build, compare; return what was read."""
    network = read_model(model)
    image = random(1, *shape, seed=9)
    assert_same(run(build_model(network.graph, network.source), image), run(model, image))
    return network


def kinds(network: ReadNetwork) -> list[str]:
    return [node.spec.kind.value for node in network.graph.nodes]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1_000_000), sparse=st.booleans())
def test_networks_of_ours_come_back(*, seed: int, sparse: bool) -> None:
    graph = random_network(seed)
    model = build_model(graph, random_weights(seed), sparse_initializers=sparse)
    network = check(model, graph.input_shape)
    assert len(network.graph.nodes) <= len(graph.nodes)
    again = read_model(build_model(network.graph, network.source))
    assert again.graph.operators == network.graph.operators


@pytest.mark.parametrize(
    ("attributes", "kernel", "cut"),
    [
        ({}, 3, (0, 0, 0, 0)),
        (SAME | {"strides": [2, 2], "kernel_shape": [3, 3]}, 3, (0, 0, 0, 0)),
        ({"pads": [2, 2, 2, 2], "dilations": [2, 2]}, 3, (0, 0, 0, 0)),
        ({"auto_pad": "VALID"}, 3, (0, 0, 0, 0)),
        ({"auto_pad": "SAME_UPPER"}, 3, (0, 0, 0, 0)),
        ({"auto_pad": "SAME_UPPER", "strides": [2, 2]}, 4, (1, 1, 0, 0)),
        ({"auto_pad": "SAME_LOWER", "strides": [2, 2]}, 4, (0, 0, 1, 1)),
        ({"pads": [0, 0, 1, 1], "strides": [2, 2]}, 4, (1, 1, 0, 0)),
        ({"pads": [0, 2, 2, 0], "dilations": [2, 2]}, 4, (1, 0, 0, 1)),
    ],
)
def test_padding_is_exact(
    attributes: dict[str, Any], kernel: int, cut: tuple[int, int, int, int]
) -> None:
    network = check(chain(conv(**attributes), constants=CONV))
    (node,) = network.graph.nodes
    assert (node.spec.kernel, node.spec.cut) == (kernel, cut)


@pytest.mark.parametrize(("size", "pads"), [((1, 3), [0, 1, 0, 1]), ((5, 1), [2, 0, 2, 0])])
def test_a_rectangular_kernel_is_part_of_a_square_one(
    size: tuple[int, int], pads: list[int]
) -> None:
    constants = {"w": random(6, 4, *size), "b": CONV["b"]}
    (node,) = check(chain(conv(pads=pads), constants=constants)).graph.nodes
    assert node.spec.kernel_shape == size
    assert node.spec.kernel == max(size)


@pytest.mark.parametrize("groups", [2, 4])
def test_groups(groups: int) -> None:
    constants = {"w": random(8, 4 // groups, 3, 3), "b": random(8)}
    (node,) = check(chain(conv(group=groups), constants=constants)).graph.nodes
    assert node.spec.groups == groups


def norm(source: str, output: str) -> onnx.NodeProto:
    return make("BatchNormalization", [source, "s", "t", "m", "v"], [output], epsilon=1e-3)


NORM = {
    "s": random(6, seed=2),
    "t": random(6, seed=3),
    "m": random(6, seed=4),
    "v": np.square(random(6, seed=5)),
}


def test_batch_norm_is_folded() -> None:
    model = chain(make("Conv", ["x", "w"], ["c"]), norm("c", "y"), constants=CONV | NORM)
    network = check(model)
    assert kinds(network) == ["conv"]
    (weights,) = network.weights.values()
    scale = NORM["s"].astype(np.float64) / np.sqrt(NORM["v"].astype(np.float64) + 1e-3)
    exact = (CONV["w"] * scale[:, None, None, None]).astype(np.float32)
    np.testing.assert_allclose(weights["weight"], exact, rtol=2e-7)  # epsilon is a float32


def test_batch_norm_of_a_tensor_with_another_reader_is_a_layer_of_its_own() -> None:
    model = chain(conv("c"), norm("c", "n"), make("Add", ["c", "n"], ["y"]), constants=CONV | NORM)
    network = check(model)
    assert kinds(network) == ["conv", "conv", "add"]
    assert network.graph.nodes[1].spec.is_depthwise


def test_batch_norm_on_the_image() -> None:
    constants = {name: array[:4] for name, array in NORM.items()}
    assert kinds(check(chain(norm("x", "y"), constants=constants))) == ["conv"]


@pytest.mark.parametrize(
    ("nodes", "activation"),
    [
        ([make("Relu", ["c"], ["y"])], Activation.RELU),
        ([make("Clip", ["c", "zero", "six"], ["y"])], Activation.RELU6),
        ([make("Clip", ["c", "zero"], ["y"])], Activation.RELU),
        ([make("HardSwish", ["c"], ["y"])], Activation.HARDSWISH),
        ([make("Sigmoid", ["c"], ["g"]), make("Mul", ["g", "c"], ["y"])], Activation.SILU),
        (
            [make("HardSigmoid", ["c"], ["g"], alpha=1 / 6), make("Mul", ["c", "g"], ["y"])],
            Activation.HARDSWISH,
        ),
    ],
)
def test_activations(nodes: list[onnx.NodeProto], activation: Activation) -> None:
    bounds = {"zero": np.float32(0), "six": np.float32(6)}
    constants = {**CONV, "w": 3 * CONV["w"], **{k: np.asarray(v) for k, v in bounds.items()}}
    (node,) = check(chain(conv("c"), *nodes, constants=constants)).graph.nodes
    assert node.spec.activation is activation
    behind_a_pool = [make("MaxPool", ["x"], ["c"], kernel_shape=[2, 2]), *nodes]
    small = {k: v for k, v in constants.items() if k in bounds}
    network = check(chain(*behind_a_pool, constants=small))
    assert len(network.graph.nodes) == 2


def test_a_gate_with_another_reader_is_refused() -> None:
    nodes = (make("Sigmoid", ["x"], ["g"]), make("Relu", ["g"], ["y"], name="after"))
    with pytest.raises(
        ValueError, match=r"node 'after' \(Relu\): a Sigmoid or HardSigmoid may only"
    ):
        read_model(chain(*nodes))


def test_clip_with_attributes_of_old_models() -> None:
    model = chain(conv("c"), make("Clip", ["c"], ["y"], min=0.0, max=6.0), constants=CONV, opset=9)
    assert check(model).graph.nodes[0].spec.activation is Activation.RELU6


def test_linear_layers_in_every_spelling() -> None:
    constants = {"a": random(4, 5), "b": random(1, 5), "c": random(6, 5), "d": random(6)}
    model = chain(
        make("GlobalAveragePool", ["x"], ["p"]),
        make("Flatten", ["p"], ["f"]),
        make("MatMul", ["f", "a"], ["m"]),
        make("Add", ["b", "m"], ["n"]),
        make("Gemm", ["n", "c", "d"], ["y"], transB=1, alpha=0.5, beta=2.0),
        constants=constants,
    )
    assert kinds(check(model)) == ["global-avg-pool", "linear", "linear"]


@pytest.mark.parametrize(
    "flatten",
    [
        [make("Reshape", ["p", "shape"], ["f"])],
        [make("Squeeze", ["p", "axes"], ["f"])],
        [
            make("Identity", ["p"], ["q"]),
            make("Dropout", ["q"], ["r"]),
            make("Flatten", ["r"], ["f"]),
        ],
    ],
)
def test_flattening_in_every_spelling(flatten: list[onnx.NodeProto]) -> None:
    constants = {"w": random(5, 4), "shape": np.array([-1, 4]), "axes": np.array([2, 3])}
    gemm = make("Gemm", ["f", "w"], ["y"], transB=1)
    pool = make("GlobalAveragePool", ["x"], ["p"])
    check(chain(pool, *flatten, gemm, constants=constants))
    window = make("AveragePool", ["x"], ["p"], kernel_shape=[8, 8])
    assert kinds(check(chain(window, *flatten, gemm, constants=constants))) == [
        "avg-pool",
        "linear",
    ]
    at_end = [*flatten, make("Identity", ["f"], ["y"])]
    check(chain(window, *at_end, constants=constants))  # (N, C) of one pixel


@pytest.mark.parametrize("keepdims", [0, 1])
def test_mean_over_pixels(keepdims: int) -> None:
    nodes = [make("ReduceMean", ["x", "axes"], ["p"], keepdims=keepdims)]
    nodes.append(make("Flatten", ["p"], ["y"]))
    assert kinds(check(chain(*nodes, constants={"axes": np.array([-1, -2])}))) == [
        "global-avg-pool"
    ]
    old = [make("ReduceMean", ["x"], ["p"], keepdims=keepdims, axes=[2, 3]), nodes[1]]
    check(chain(*old, opset=11))


def test_a_linear_layer_on_a_flattened_image_is_a_convolution() -> None:
    constants = {"w": random(5, 4 * 8 * 8), "b": random(5)}
    nodes = (make("Flatten", ["x"], ["f"]), make("Gemm", ["f", "w", "b"], ["y"], transB=1))
    network = check(chain(*nodes, constants=constants))
    assert kinds(network) == ["conv", "global-avg-pool"]  # the latter makes (N, C) of one pixel
    assert network.graph.nodes[0].spec.kernel == 8


def test_a_convolution_behind_a_global_pooling_is_a_linear_layer() -> None:
    nodes = (
        make("GlobalAveragePool", ["x"], ["p"]),
        make("Conv", ["p", "w", "b"], ["c"]),
        make("Relu", ["c"], ["r"]),
        make("Flatten", ["r"], ["y"]),
    )
    network = check(chain(*nodes, constants={"w": random(6, 4, 1, 1), "b": CONV["b"]}))
    assert kinds(network) == ["global-avg-pool", "linear"]


def test_merges_and_pools() -> None:
    nodes = (
        make("MaxPool", ["x"], ["a"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        make("AveragePool", ["x"], ["b"], kernel_shape=[2, 2], strides=[2, 2], count_include_pad=1),
        make("AveragePool", ["x"], ["c"], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
        make("Sum", ["a", "b", "c"], ["s"]),
        make("Concat", ["s", "a"], ["y"], axis=-3),
    )
    expected = ["max-pool", "avg-pool", "avg-pool", "add", "concat"]
    assert kinds(check(chain(*nodes))) == expected


def test_flat_and_pooled_tensors_can_be_merged() -> None:
    nodes = (
        make("GlobalAveragePool", ["x"], ["a"]),
        make("AveragePool", ["x"], ["b"], kernel_shape=[8, 8]),
        make("Add", ["a", "b"], ["s"]),
        make("Flatten", ["s"], ["y"]),
    )
    check(chain(*nodes))


def test_weights_in_constants_identities_and_sparse_initialisers() -> None:
    weight = CONV["w"] * (random(6, 4, 3, 3, seed=8) > 1)
    flat = np.flatnonzero(weight)
    values = onnx.numpy_helper.from_array(weight.reshape(-1)[flat], "w")
    places = np.stack(np.unravel_index(flat, weight.shape), axis=1)
    for indices in (flat, places):
        sparse = helper.make_sparse_tensor(
            values, onnx.numpy_helper.from_array(indices.astype(np.int64)), weight.shape
        )
        bias = make("Constant", [], ["c"], value_floats=CONV["b"].tolist())
        nodes = (bias, make("Identity", ["c"], ["b"]), conv(kernel_shape=[3, 3]))
        model = chain(*nodes, sparse=sparse)
        network = read_model(model)
        (weights,) = network.weights.values()
        np.testing.assert_array_equal(weights["weight"], weight)
        np.testing.assert_array_equal(weights["bias"], CONV["b"])


def test_an_open_batch_dead_nodes_and_colliding_names() -> None:
    first = make("Conv", ["x", "w", "b"], ["a.linear"], name="input")
    second = make("Relu", ["a.linear"], ["r"], name="logits")
    third = make("Conv", ["a.linear", "v"], ["q"], name="logits_2")
    last = make("Add", ["q", "r"], ["y"], name="input.weight")
    dead = make("Sigmoid", ["x"], ["nowhere"])
    constants = CONV | {"v": random(6, 6, 1, 1)}
    model = chain(first, second, third, last, dead, constants=constants, shape=("N", 4, 8, 8))
    network = check(model)
    assert len({node.name for node in network.graph.nodes}) == 4
    assert kinds(network)[-1] == OperatorKind.ADD.value
