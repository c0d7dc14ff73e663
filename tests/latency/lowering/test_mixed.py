"""Models of float32 and int8 together: which operators are integer, and that little changes."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from latency.graph import OUTPUT
from latency.lowering.build import build_model
from latency.lowering.mixed import build_mixed
from latency.lowering.quantize import QuantizationError, quantized
from latency.lowering.weights import random_weights
from tests.latency.lowering.test_quantize import executed_types, outputs_of
from tests.latency.samples import small_network

GRAPH = small_network()
FLOAT = build_model(GRAPH, random_weights(0))


def test_without_int8_it_is_the_model_of_the_graph() -> None:
    assert build_mixed(GRAPH, random_weights(0)) == FLOAT


def test_only_what_is_named_becomes_integer(tmp_path: Path) -> None:
    model = build_mixed(GRAPH.with_int8(["left.point"]), random_weights(0), metadata={"a": "b"})
    assert {p.key: p.value for p in model.metadata_props}["a"] == "b"
    types = executed_types(model, tmp_path)
    assert {"QLinearConv", "Conv", "QuantizeLinear", "DequantizeLinear"} <= types
    exact, near = (outputs_of(m, GRAPH.input_shape) for m in (FLOAT, model))
    assert not np.array_equal(exact, near)
    assert np.corrcoef(exact[0], near[0])[0, 1] > 0.95


def test_the_activation_of_an_integer_operator_is_its_own() -> None:
    """The stem has a ReLU, and two readers in float32."""
    model = build_mixed(GRAPH.with_int8(["stem"]), random_weights(0))
    assert [node.op_type for node in model.graph.node].count("Relu") == 1  # that behind the sum


def test_float32_reads_float32_where_that_is_there() -> None:
    """`left` and `right` read the stem; only `left` is int8."""
    model = build_mixed(GRAPH.with_int8(["left"]), random_weights(0))
    (pool,) = (node for node in model.graph.node if node.op_type == "MaxPool")
    assert list(pool.input) == ["stem"]
    onnx.checker.check_model(model)


def test_the_output_may_be_that_of_an_integer_operator() -> None:
    model = build_mixed(GRAPH.with_int8([OUTPUT]), random_weights(0))
    assert [value.name for value in model.graph.output] == [OUTPUT]
    assert outputs_of(model, GRAPH.input_shape).dtype == np.float32


def test_no_name_is_not_every_name() -> None:
    with pytest.raises(QuantizationError, match="no node was named"):
        quantized(FLOAT, only=[])


def test_dtypes_of_a_graph() -> None:
    mixed = GRAPH.with_int8(["left", "sum"])
    assert mixed.int8_names == ("left", "sum")
    assert mixed.with_int8(()) == GRAPH
