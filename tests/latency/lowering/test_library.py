"""Sparse convolutions become nodes of the operator library, and nothing else does."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from latency.graph import INPUT, GraphNode, NetworkGraph
from latency.kernels import library_path, register
from latency.kernels.library import DOMAIN
from latency.lowering.build import build_model
from latency.lowering.library import compress, is_supported, lower_to_library
from latency.lowering.operators import Wiring
from latency.lowering.weights import random_weights
from latency.operator import BLOCK_ROWS, OperatorKind, OperatorSpec, SparsityPattern
from tests.latency.samples import RELU, conv, depthwise, plain

BLOCK = SparsityPattern.BLOCK
UNSTRUCTURED = SparsityPattern.UNSTRUCTURED


def network(*specs: OperatorSpec) -> NetworkGraph:
    nodes: list[GraphNode] = []
    for index, spec in enumerate(specs):
        source = nodes[-1].name if nodes else INPUT
        nodes.append(GraphNode(name=f"n{index}", spec=spec, inputs=(source,)))
    return NetworkGraph(input_shape=specs[0].in_shape, nodes=tuple(nodes))


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


def test_only_sparse_convolutions_without_groups_are_supported() -> None:
    assert is_supported(conv(8, 8, pattern=BLOCK, density=0.5))
    assert is_supported(conv(8, 8, pattern=UNSTRUCTURED, density=0.5))
    assert not is_supported(conv(8, 8))
    assert not is_supported(depthwise(8))
    assert not is_supported(plain(OperatorKind.MAX_POOL, 8))


def test_unsupported_operator_is_refused() -> None:
    wiring = Wiring(name="n", inputs=("x",), output="y", flat_input=False)
    with pytest.raises(ValueError, match="no operator for 'conv 8->8"):
        lower_to_library(conv(8, 8), wiring, {})


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(bad: float) -> None:
    spec = conv(8, 8, pattern=BLOCK, density=0.5)
    wiring = Wiring(name="n", inputs=("x",), output="y", flat_input=False)
    weights = {
        "weight": np.full((8, 8, 1, 1), bad, dtype=np.float32),
        "bias": np.zeros(8, dtype=np.float32),
    }
    with pytest.raises(ValueError, match="'n' has values that are not finite"):
        lower_to_library(spec, wiring, weights)


def test_network_runs_with_and_without_library_as_the_stock_one_does() -> None:
    graph = network(
        conv(3, 16, 12, kernel=3, padding=1, activation=RELU),
        conv(16, 24, 12, pattern=BLOCK, density=0.25, activation=RELU),
        conv(24, 10, 12, kernel=5, padding=4, dilation=2, stride=2, pattern=UNSTRUCTURED, density=0.1),
        plain(OperatorKind.GLOBAL_AVG_POOL, 10, 6),
    )  # fmt: skip
    stock = build_model(graph, random_weights(3))
    ours = build_model(graph, random_weights(3), library=True)
    onnx.checker.check_model(ours)
    assert [node.op_type for node in ours.graph.node if node.domain == DOMAIN] == [
        "SparseConvRelu",
        "SparseConv",
    ]
    assert len(ours.functions) == 2
    image = np.random.default_rng(0).standard_normal((1, 3, 12, 12), dtype=np.float32)
    wanted = output(stock, image, library=False)
    ways = [False, True] if library_path() else [False]
    for library in ways:
        np.testing.assert_allclose(output(ours, image, library=library), wanted, atol=1e-5)


def output(model: onnx.ModelProto, image: np.ndarray, *, library: bool) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    if library:
        register(options)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {INPUT: image})[0])


def test_stock_models_know_nothing_of_the_library() -> None:
    graph = network(conv(8, 8, pattern=BLOCK, density=0.25))
    model = build_model(graph, random_weights(0))
    assert not model.functions
    assert [entry.domain for entry in model.opset_import] == [""]


def test_values_take_the_place_of_the_weight() -> None:
    graph = network(conv(8, 10, pattern=BLOCK, density=0.25))
    model = build_model(graph, random_weights(0), library=True)
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    groups = round(0.25 * 8 * 3)
    assert arrays["n0.values"].shape == (groups, BLOCK_ROWS)
    assert arrays["n0.indices"].shape == (groups,)
    assert sorted(arrays) == ["n0.bias", "n0.indices", "n0.values"]
