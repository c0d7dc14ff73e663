"""Networks in the regime of the library compute what stock ones do, with and without it."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from latency.graph import INPUT, OUTPUT, GraphNode, NetworkGraph
from latency.kernels import library_path, register
from latency.kernels.library import DOMAIN
from latency.library_form import library_form
from latency.lowering.build import build_model
from latency.lowering.library import compress, fastest_rows, lower_to_library
from latency.lowering.operators import Wiring
from latency.lowering.weights import Weights, WeightSource, random_weights
from latency.operator import (
    BLOCK_ROWS,
    Activation,
    OperatorKind,
    OperatorSpec,
    Regime,
    SparsityPattern,
)
from tests.latency.samples import RELU, conv, depthwise, linear, node, plain, pool, small_network

BLOCK = SparsityPattern.BLOCK
UNSTRUCTURED = SparsityPattern.UNSTRUCTURED
POSITIONS = SparsityPattern.POSITIONS
WIRING = Wiring(name="n", inputs=("x",), output="y", flat_input=False)
CHANNELS, SIZE = 8, 6


def in_library(spec: OperatorSpec, **changes: Any) -> OperatorSpec:
    return replace(spec, regime=Regime.LIBRARY, **changes)


def one_operator(spec: OperatorSpec) -> NetworkGraph:
    inputs = (INPUT,) * spec.num_tensors
    return NetworkGraph(input_shape=spec.in_shape, nodes=(node("n0", spec, *inputs),))


def output(
    model: onnx.ModelProto, image: npt.NDArray[np.float32], *, library: bool
) -> npt.NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if library:
        assert register(options)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {INPUT: image})[0])


def ways() -> list[bool]:
    """With the library and without it; a machine without a compiler has one of them."""
    return [False, True] if library_path() else [False]


def image_for(graph: NetworkGraph) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((1, *graph.input_shape), dtype=np.float32)


def assert_same(graph: NetworkGraph, form: NetworkGraph, weights: WeightSource) -> None:
    image = image_for(graph)
    wanted = output(build_model(graph, weights), image, library=False)
    ours = build_model(form, weights)
    onnx.checker.check_model(ours)
    for library in ways():
        got = output(ours, image, library=library)
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rows", [1, BLOCK_ROWS])
@pytest.mark.parametrize("out_channels", [1, 4, 7])
def test_compress_keeps_every_value(rows: int, out_channels: int) -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((out_channels, 3, 2, 2), dtype=np.float32)
    weight[rng.random(weight.shape) < 0.7] = 0
    values, indices = compress(weight, rows)
    assert (np.diff(indices) > 0).all()
    back = np.zeros((-(-out_channels // rows) * rows, 3, 2, 2), dtype=np.float32)
    for row, index in zip(values, indices, strict=True):
        block, *place = np.unravel_index(index, (len(back) // rows, 3, 2, 2))
        back[int(block) * rows : (int(block) + 1) * rows, *place] = row
    np.testing.assert_array_equal(back[:out_channels], weight)
    assert not back[out_channels:].any()


def weight_of(spec: OperatorSpec) -> npt.NDArray[np.float32]:
    return random_weights(0)(node("n", spec, INPUT))["weight"]


def test_rows_follow_from_the_zeros_and_not_from_the_name_of_the_pattern() -> None:
    assert fastest_rows(*_with_weight(conv(64, 64, pattern=BLOCK, density=0.1))) == BLOCK_ROWS
    assert fastest_rows(*_with_weight(conv(64, 64, pattern=UNSTRUCTURED, density=0.1))) == 1
    assert (
        fastest_rows(*_with_weight(conv(64, 64, pattern=UNSTRUCTURED, density=0.9))) == BLOCK_ROWS
    )
    assert fastest_rows(*_with_weight(conv(64, 64))) == BLOCK_ROWS
    assert fastest_rows(*_with_weight(conv(16, 24, groups=4))) == 1  # six channels a group
    assert fastest_rows(*_with_weight(conv(16, 16, groups=4))) == BLOCK_ROWS


def _with_weight(spec: OperatorSpec) -> tuple[OperatorSpec, npt.NDArray[np.float32]]:
    return spec, weight_of(spec)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(bad: float) -> None:
    weights: Weights = {
        "weight": np.full((8, 8, 1, 1), bad, dtype=np.float32),
        "bias": np.zeros(8, dtype=np.float32),
    }
    spec = in_library(conv(8, 8, pattern=BLOCK, density=0.5))
    with pytest.raises(ValueError, match="weight of 'n' has values that are not finite"):
        lower_to_library(spec, WIRING, weights)


def test_flat_inputs_are_refused_where_an_image_is_needed() -> None:
    spec = in_library(pool(OperatorKind.MAX_POOL, 8))
    flat = replace(WIRING, flat_input=True)
    with pytest.raises(ValueError, match=r"'n' \(max-pool\) cannot read a flat tensor"):
        lower_to_library(spec, flat, {})


def test_type_of_a_node_says_what_it_does() -> None:
    spec = in_library(conv(8, 8), relu_input=True, residual=True, activation=Activation.SILU)
    model = build_model(one_operator(spec), random_weights(0))
    (only,) = model.graph.node
    assert (only.domain, only.op_type) == (DOMAIN, "ReluSparseConvAddSilu")
    assert list(only.input) == [INPUT, "n0.values", "n0.indices", "n0.bias", INPUT]
    assert [function.name for function in model.functions] == [only.op_type]


def test_values_take_the_place_of_the_weight() -> None:
    graph = one_operator(in_library(conv(8, 10, pattern=BLOCK, density=0.25)))
    model = build_model(graph, random_weights(0))
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert arrays["n0.values"].shape == (round(0.25 * 8 * 3), BLOCK_ROWS)
    assert sorted(arrays) == ["n0.bias", "n0.indices", "n0.values"]


def test_stock_models_know_nothing_of_the_library() -> None:
    model = build_model(one_operator(conv(8, 8, pattern=BLOCK, density=0.25)), random_weights(0))
    assert not model.functions
    assert [entry.domain for entry in model.opset_import] == [""]


OPERATORS = [
    conv(8, 12, SIZE, pattern=BLOCK, density=0.3),
    conv(8, 7, SIZE, kernel=3, padding=1, pattern=UNSTRUCTURED, density=0.2),
    conv(8, 8, SIZE, kernel=5, padding=4, dilation=2, stride=2),
    conv(8, 16, SIZE, groups=2, kernel=3, padding=1),
    conv(3, 8, 9, kernel=7, stride=2, padding=3),
    depthwise(8, SIZE),
    depthwise(8, SIZE, kernel=5, stride=2),
    replace(depthwise(8, SIZE), dilation=2, padding=2),
]


@pytest.mark.parametrize("activation", Activation)
@pytest.mark.parametrize("spec", OPERATORS, ids=OperatorSpec.label)
def test_every_convolution_computes_what_stock_operators_do(
    spec: OperatorSpec, activation: Activation
) -> None:
    graph = one_operator(replace(spec, activation=activation))
    assert_same(graph, library_form(graph), random_weights(1))


@pytest.mark.parametrize(
    "spec",
    [
        pool(OperatorKind.MAX_POOL, 8, SIZE),
        pool(OperatorKind.AVG_POOL, 8, SIZE, stride=2),
        plain(OperatorKind.GLOBAL_AVG_POOL, 8, SIZE),
        replace(linear(8, 10), pattern=UNSTRUCTURED, density=0.4),
        replace(linear(8, 10), activation=RELU),
        plain(OperatorKind.RELU, 8, SIZE),
    ],
    ids=OperatorSpec.label,
)
def test_every_other_operator_computes_what_stock_operators_do(spec: OperatorSpec) -> None:
    graph = one_operator(spec)
    assert_same(graph, library_form(graph), random_weights(1))


def test_positions_that_are_not_computed_are_the_constant_of_their_channel() -> None:
    dense_spec = conv(8, 6, 10, kernel=3, padding=1, activation=RELU)
    spec = in_library(dense_spec, pattern=POSITIONS, density=0.5)
    source = random_weights(2)
    dense = {name: source(node("n0", spec, INPUT))[name] for name in ("weight", "bias")}
    full = one_operator(dense_spec)
    image = image_for(full)
    wanted = output(build_model(full, lambda _: dense), image, library=False).reshape(6, 100)
    weights = source(node("n0", spec, INPUT))
    left_out = np.setdiff1d(np.arange(7), weights["positions"])
    assert len(weights["positions"]) == spec.kept_runs == 4
    for run in left_out:
        wanted[:, 16 * run : 16 * (run + 1)] = weights["fill"][:, None]
    model = build_model(one_operator(spec), source)
    for library in ways():
        got = output(model, image, library=library)
        np.testing.assert_allclose(got.reshape(6, 100), wanted, rtol=1e-4, atol=1e-4)


def test_small_network_is_the_same_in_both_regimes() -> None:
    graph = small_network()
    form = library_form(graph)
    assert_same(graph, form, random_weights(3))
    outside = {entry.op_type for entry in build_model(form, random_weights(3)).graph.node
               if entry.domain != DOMAIN}  # fmt: skip
    assert outside == {"Concat", "Flatten", "Gemm"}


@st.composite
def graphs(draw: st.DrawFn) -> NetworkGraph:
    """Any wiring of operators that keep the shape, as cells have them."""
    choices = [
        conv(CHANNELS, CHANNELS, SIZE, pattern=BLOCK, density=0.4),
        conv(CHANNELS, CHANNELS, SIZE, kernel=3, padding=1, activation=RELU),
        depthwise(CHANNELS, SIZE),
        pool(OperatorKind.MAX_POOL, CHANNELS, SIZE),
        pool(OperatorKind.AVG_POOL, CHANNELS, SIZE),
        plain(OperatorKind.RELU, CHANNELS, SIZE),
        plain(OperatorKind.ADD, CHANNELS, SIZE, inputs=2),
    ]
    names = [INPUT]
    nodes: list[GraphNode] = []
    for index in range(draw(st.integers(1, 8))):
        spec = draw(st.sampled_from(choices))
        inputs = [draw(st.sampled_from(names)) for _ in range(spec.inputs)]
        nodes.append(node(f"n{index}", spec, *inputs))
        names.append(f"n{index}")
    pair = [names[-1], draw(st.sampled_from(names))]
    nodes.append(node(OUTPUT, plain(OperatorKind.CONCAT, CHANNELS, SIZE, inputs=2), *pair))
    return NetworkGraph(input_shape=(CHANNELS, SIZE, SIZE), nodes=tuple(nodes))


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_any_wiring_is_the_same_in_both_regimes(graph: NetworkGraph) -> None:
    assert_same(graph, library_form(graph), random_weights(4))
