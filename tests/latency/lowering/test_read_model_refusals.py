"""What cannot be read is refused by a message that names the node and what is allowed."""

import contextlib
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from latency.library_form import library_form
from latency.lowering.build import build_model
from latency.lowering.read_model import read_model
from latency.lowering.weights import random_weights
from tests.latency.lowering.models import chain, random
from tests.latency.lowering.random_networks import random_network
from tests.latency.samples import small_network

make = helper.make_node
CONSTANTS: dict[str, Any] = {
    "w": random(6, 4, 3, 3),
    "w1": random(6, 4, 1, 1),
    "flat": random(5, 4),
    "odd": random(5, 4 * 8 * 4),
    "b": random(6),
    "short": random(3),
    "half": random(6, 4, 3, 3).astype(np.float16),
    "one": np.float32(1),
    "c4": random(4),
    "negative": -np.ones(4, dtype=np.float32),
    "axes": np.array([2]),
    "rows": np.array([1, 8, 32]),
    "zero_rows": np.array([0, 256]),
    "true": np.array(True),
    "ratio": np.float32(0.5),
    "image": random(1, 4, 8, 8),
    "float_axes": random(1),
}


def node(op_type: str, *inputs: str, **attributes: Any) -> onnx.NodeProto:
    return make(op_type, list(inputs), ["y"], name="here", **attributes)


POOLED = make("GlobalAveragePool", ["x"], ["p"])
FLAT = make("Flatten", ["x"], ["f"])
PAIR = {"kernel_shape": [2, 2]}
CASES: list[tuple[list[onnx.NodeProto], str]] = [
    ([node("Tanh", "x")], r"\(Tanh\): allowed are Add, AveragePool, .*, Sum"),
    ([node("Conv", "x", "x")], "the weight must be a constant"),
    ([node("Conv", "x", "w", "short")], r"the bias must have shape \(6,\), got \(3,\)"),
    ([node("Conv", "x", "w", strides=[1, 2])], r"strides must be the same .* got \[1, 2\]"),
    ([node("Conv", "x", "w", dilations=[1, 2])], "dilations must be the same"),
    ([node("Conv", "x", "w", pads=[1, 0, 1, 0])], r"pads \[1, 0, 1, 0\] is no part of a square"),
    ([node("Conv", "x", "w", pads=[0, 1, 1, 0], dilations=[2, 2])], "is no part of a square"),
    ([node("Conv", "x", "w", pads=[-1, 0, 0, 0])], "pads must be four numbers from 0"),
    ([node("Conv", "x", "w", strides=[0, 0], auto_pad="SAME_UPPER")], "strides must be at least 1"),
    ([node("MaxPool", "x", dilations=[0, 0], **PAIR)], "dilations must be at least 1"),
    ([node("Reshape", "x", "zero_rows", allowzero=1)], r"it must make \(N, 256\)"),
    ([POOLED, node("Conv", "p", "w", pads=[1] * 4)], "behind a global pooling"),
    ([POOLED, node("AveragePool", "p", kernel_shape=[1, 1])], "cannot follow a global pooling"),
    ([node("AveragePool", "x", pads=[1] * 4, count_include_pad=1, **PAIR)], "count_include_pad"),
    ([node("MaxPool", "x", kernel_shape=[2, 3])], "no part of a square"),
    ([node("MaxPool", "x", pads=[0, 0, 1, 1], **PAIR)], "padded alike on all sides"),
    ([node("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)], "ceil_mode"),
    ([node("Add", "x", "image")], r"must have shape \(4, 1, 1\), got \(1, 4, 8, 8\)"),
    ([make("Conv", ["x", "w1"], ["c"]), node("Add", "c", "x")], "must have one shape, got"),
    ([POOLED, node("Add", "p", "x")], "its inputs must have one shape"),
    ([node("Concat", "x", "x", axis=2)], "axis must be that of the channels"),
    ([node("Mul", "x", "x")], r"must be x \* Sigmoid"),
    ([node("Clip", "x", "one")], r"must clip to 0 and above .* got \[1.0, inf\]"),
    ([node("HardSigmoid", "x")], "alpha and beta must be 1/6"),
    ([node("ReduceMean", "x", "axes")], "axes must be those of height and width"),
    ([node("Squeeze", "x", "axes")], "axes must be those of height and width"),
    ([node("Reshape", "x", "rows")], r"it must make \(N, 256\) of \(4, 8, 8\), got \[1, 8, 32\]"),
    ([node("Flatten", "x", axis=2)], "axis must be 1"),
    ([FLAT, node("Relu", "f")], "only Gemm or MatMul may read a flattened image"),
    ([FLAT, node("Gemm", "f", "flat", transB=1)], "a weight of 4 inputs reads 256"),
    ([node("MatMul", "x", "image")], r"the weight must be a matrix"),
    ([POOLED, node("Gemm", "p", "flat", transB=1)], r"its input must be \(N, C\)"),
    (
        [POOLED, make("Flatten", ["p"], ["q"]), node("HardSwish", "q")],
        "must follow the linear layer",
    ),
    ([node("Dropout", "x", "ratio", "true")], "training_mode must be false"),
    (
        [node("BatchNormalization", "x", "c4", "c4", "c4", "negative")],
        "variance must not be negative",
    ),
    ([node("BatchNormalization", "x", "c4", "c4", "short", "c4")], "the mean must have shape"),
]


@pytest.mark.parametrize(("nodes", "message"), CASES, ids=[case[1][:30] for case in CASES])
def test_what_is_not_known_is_refused(nodes: list[onnx.NodeProto], message: str) -> None:
    used = {name for each in nodes for name in each.input}
    constants = {k: np.asarray(v) for k, v in CONSTANTS.items() if k in used}
    with pytest.raises(ValueError, match=rf"model: node 'here' .*{message}"):
        read_model(chain(*nodes, constants=constants))


def test_outputs_that_no_network_of_ours_gives_are_refused() -> None:
    with pytest.raises(ValueError, match="must be given by an operator"):
        read_model(chain(node("Identity", "x")))
    with pytest.raises(ValueError, match="must be given by an operator"):
        read_model(chain(node("Sigmoid", "x")))
    with pytest.raises(ValueError, match="is a flattened image"):
        read_model(chain(make("Relu", ["x"], ["r"]), node("Flatten", "r")))
    with pytest.raises(ValueError, match=r"must be \(N, C\) behind a global pooling"):
        read_model(chain(node("GlobalAveragePool", "x")))


@pytest.mark.parametrize("shape", [(2, 4, 8, 8), (1, 4, "H", 8), (1, 4, 8)])
def test_inputs_that_are_no_image_are_refused(shape: tuple[int | str, ...]) -> None:
    with pytest.raises(ValueError, match="model: the input 'x' must"):
        read_model(chain(node("Relu", "x"), shape=shape))


def test_half_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="must be a float32 image"):
        read_model(chain(node("Relu", "x"), dtype=TensorProto.FLOAT16))


def test_two_inputs_or_outputs_are_refused() -> None:
    model = chain(make("Relu", ["x"], ["r"]), node("Add", "x", "r"))
    model.graph.output.append(helper.make_tensor_value_info("r", TensorProto.FLOAT, [1, 4, 8, 8]))
    with pytest.raises(ValueError, match="must have one output, got 2"):
        read_model(model)
    model = chain(node("Relu", "x"))
    model.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 4, 8, 8]))
    with pytest.raises(ValueError, match=r"must have one input, got \['x', 'z'\]"):
        read_model(model)


def test_models_of_the_library_and_what_is_no_model_are_refused() -> None:
    form = build_model(library_form(small_network()), random_weights(0))
    with pytest.raises(ValueError, match=r"ai.edgewright::SparseConvRelu\), .*: allowed are"):
        read_model(form)
    with pytest.raises(ValueError, match="this is not valid ONNX"):
        read_model(onnx.ModelProto())


def test_sparse_indices_out_of_range_and_weights_over_the_range_are_refused() -> None:
    values = onnx.numpy_helper.from_array(np.ones(1, dtype=np.float32), "w")
    indices = onnx.numpy_helper.from_array(np.array([216], dtype=np.int64))
    sparse = helper.make_sparse_tensor(values, indices, (6, 4, 3, 3))
    with pytest.raises(ValueError, match="model: "):
        read_model(chain(node("Conv", "x", "w", kernel_shape=[3, 3]), sparse=sparse))
    huge = {"w": np.full((6, 4, 3, 3), 1e38, dtype=np.float32)}
    parts = {
        name: np.full(6, value, dtype=np.float32)
        for name, value in zip("stmv", (9, 0, 0, 1), strict=True)
    }
    norm = node("BatchNormalization", "c", "s", "t", "m", "v")
    with pytest.raises(ValueError, match="has values that are not finite"):
        read_model(chain(make("Conv", ["x", "w"], ["c"]), norm, constants=huge | parts))


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 1_000_000), value=st.sampled_from([-(2**40), -1, 0, 1, 2, 7, 2**40]))
def test_a_changed_number_is_read_or_refused(*, seed: int, value: int) -> None:
    """Whatever an attribute or a dimension says, the answer is a network or a ValueError."""
    model = build_model(random_network(seed % 7), random_weights(0), sparse_initializers=True)
    graph = model.graph
    numbers = [
        attribute.ints
        for each in graph.node
        for attribute in each.attribute
        if attribute.type == onnx.AttributeProto.INTS
    ]
    numbers += [tensor.dims for tensor in graph.initializer]
    numbers += [tensor.dims for tensor in graph.sparse_initializer]
    numbers += [tensor.indices.dims for tensor in graph.sparse_initializer]
    rng = np.random.default_rng(seed)
    chosen = numbers[int(rng.integers(len(numbers)))]
    chosen[int(rng.integers(len(chosen)))] = value
    with contextlib.suppress(ValueError):
        read_model(model)
