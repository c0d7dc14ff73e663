"""Quantized models are executed by integer kernels of the runtime and give nearly the same."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from latency.graph import INPUT, GraphNode, NetworkGraph
from latency.lowering.build import build_model
from latency.lowering.quantize import quantized
from latency.lowering.weights import random_weights
from latency.measurement import marginal_cost
from latency.operator import OperatorKind, OperatorSpec, Regime, SparsityPattern
from latency.profiler.device import current_target
from latency.profiler.operators import measure_operator
from latency.profiler.timing import TimingSettings
from tests.latency.samples import conv, depthwise, linear, small_network


def executed_types(model: onnx.ModelProto, folder: Path) -> set[str]:
    """Return the operators that are left when the runtime has optimised a model."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(model.SerializeToString(), options)
    return {node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node}


def outputs_of(model: onnx.ModelProto, shape: tuple[int, ...]) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    images = np.random.default_rng(7).standard_normal((1, *shape), dtype=np.float32)
    found: np.ndarray = session.run(None, {INPUT: images})[0]
    return found


def test_a_network_becomes_integer_operators_and_hardly_changes(tmp_path: Path) -> None:
    graph = small_network()
    model = build_model(graph, random_weights(0))
    int8 = quantized(model)
    assert "QLinearConv" in executed_types(int8, tmp_path)
    exact, near = outputs_of(model, graph.input_shape), outputs_of(int8, graph.input_shape)
    assert not np.array_equal(exact, near)
    assert np.corrcoef(exact[0], near[0])[0, 1] > 0.95


def test_ranges_are_those_of_the_images_that_are_given() -> None:
    graph = small_network()
    model = build_model(graph, random_weights(0))
    rng = np.random.default_rng(3)
    images = 0.01 * rng.standard_normal((16, *graph.input_shape), dtype=np.float32)

    def error(int8: onnx.ModelProto) -> float:
        sessions = [onnxruntime.InferenceSession(m.SerializeToString()) for m in (model, int8)]
        exact, near = ([s.run(None, {INPUT: image[None]})[0] for image in images] for s in sessions)
        return float(np.abs(np.subtract(exact, near)).mean())

    # One step of a range of noise is larger than all of these images.
    assert error(quantized(model, images)) < 0.5 * error(quantized(model))


def test_what_cannot_be_quantized_is_an_error() -> None:
    model = build_model(small_network(), random_weights(0))
    model.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(ValueError, match=r"cannot quantize the model: .*NoSuchOperator"):
        quantized(model)


@pytest.mark.parametrize(
    "spec", [conv(16, 16), conv(32, 64, 16, kernel=3, padding=1), depthwise(32), linear(32, 10)]
)
def test_operators_are_measured_in_int8(spec: OperatorSpec) -> None:
    int8 = replace(spec, dtype="int8")
    measured = measure_operator(int8, current_target(), TimingSettings(rounds=3))
    assert measured.spec == int8
    assert measured.samples is not None
    assert marginal_cost(measured.samples).samples >= 3


def test_int8_is_for_dense_stock_operators() -> None:
    spec = conv(16, 16)
    for change in (
        {"regime": Regime.LIBRARY},
        {"pattern": SparsityPattern.BLOCK, "density": 0.5},
        {"kind": OperatorKind.QUANTIZE},
    ):
        with pytest.raises(ValueError, match="int8 is for dense stock operators"):
            replace(spec, dtype="int8", **change)


def test_an_int8_operator_is_no_node_of_a_float_model() -> None:
    spec = replace(conv(16, 16), dtype="int8")
    node = GraphNode(name="layer", spec=spec, inputs=(INPUT,))
    graph = NetworkGraph(input_shape=spec.in_shape, nodes=(node,))
    with pytest.raises(ValueError, match="'layer' is int8; quantize the built model"):
        build_model(graph, random_weights(0))
