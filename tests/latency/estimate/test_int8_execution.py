"""What is executed where int8 and float32 meet, held against what ONNX Runtime makes of the model."""

from collections import Counter
from dataclasses import replace

import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.estimate.execution import executed_nodes, with_possible_int8
from latency.graph import NetworkGraph
from latency.library_form import without_duplicates
from latency.lowering.mixed import build_mixed
from latency.lowering.weights import random_weights
from latency.operator import OperatorKind
from latency.profiler.session import session_options
from tests.latency import samples
from tests.latency.estimate.test_execution import (
    add,
    conv,
    max_pool,
    network,
    random_networks,
    reachable_part,
    relu,
)

IN_FLOAT32 = {OperatorKind.CONV: "Conv", OperatorKind.ADD: "Add"}
IN_INT8 = {OperatorKind.CONV: "QLinearConv", OperatorKind.ADD: "QLinearAdd"}
CONVERTED = {
    OperatorKind.QUANTIZE: "QuantizeLinear",
    OperatorKind.DEQUANTIZE: "DequantizeLinear",
}


def names(graph: NetworkGraph, *int8: str) -> list[str]:
    return [node.name for node in executed_nodes(graph.with_int8(int8))]


CHAIN = network(conv("a", "x"), conv("b", "a"), conv("last", "b"))
BLOCK = network(conv("a", "x"), conv("b", "a"), add("s", "b", "x"), relu("last", "s"))


def test_neighbours_in_int8_share_conversions() -> None:
    assert names(CHAIN, "a") == ["x", "x.quantize", "a", "a.dequantize", "b", "last", "head"]
    assert names(CHAIN, "a", "b") == ["x", "x.quantize", "a", "b", "b.dequantize", "last", "head"]


def test_a_sum_stays_where_one_of_its_tensors_was_made_in_int8() -> None:
    assert names(BLOCK) == ["x", "a", "b", "head"]
    assert names(BLOCK, "b")[2:] == ["a.quantize", "b", "b.dequantize", "s", "last", "head"]


def test_in_int8_a_sum_costs_and_its_relu_does_not() -> None:
    found = names(BLOCK, "a", "b", "s", "last")
    assert found == ["x", "x.quantize", "a", "b", "s", "last.dequantize", "head"]


def test_a_tensor_is_quantized_once_and_dequantized_for_each_reader() -> None:
    graph = network(conv("a", "x"), conv("b", "x"), add("last", "a", "b"))
    assert names(graph, "a", "b").count("x.quantize") == 1
    both = network(conv("a", "x"), conv("b", "a"), add("last", "a", "b"))
    assert names(both, "a").count("a.dequantize") == 2


def test_what_the_network_gives_is_float32() -> None:
    assert names(CHAIN, "head")[-2:] == ["head", "head.dequantize"]


def test_nothing_is_float32_between_int8() -> None:
    assert with_possible_int8(CHAIN, ["x", "b"]).int8_names == ("x",)
    assert with_possible_int8(CHAIN, ["x", "a", "b"]).int8_names == ("x", "a", "b")
    assert with_possible_int8(CHAIN, ["x", "last"]).int8_names == ("x", "last")


def test_a_relu_and_a_max_pool_follow_what_they_read() -> None:
    pooled = network(conv("a", "x"), max_pool("b", "a"), conv("last", "b"))
    assert with_possible_int8(pooled, ["a"]).int8_names == ("a", "b")
    assert with_possible_int8(pooled, ["b", "last"]).int8_names == ("last",)
    assert with_possible_int8(BLOCK, ["last"]).int8_names == ()
    assert with_possible_int8(BLOCK, ["s", "last"]).int8_names == ("s", "last")


@st.composite
def mixed_networks(draw: st.DrawFn) -> NetworkGraph:
    """A random network, and any of its operators that can be int8 where they stand."""
    graph = reachable_part(draw(random_networks()))
    # Equal ReLUs of what was converted for each of them are not found to be equal.
    graph = replace(graph, nodes=tuple(without_duplicates(graph)))
    names = [node.name for node in graph.nodes]
    return with_possible_int8(graph, draw(st.sets(st.sampled_from(names))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("optimised"))


# Of 260 networks drawn by hand one differed: moving a transposition, the runtime converted once more.
@settings(max_examples=25, deadline=None, derandomize=True)
@given(mixed_networks())
def test_the_runtime_executes_what_we_say(folder: str, graph: NetworkGraph) -> None:
    options = session_options(samples.target())
    options.optimized_model_filepath = f"{folder}/model.onnx"
    options.log_severity_level = 4
    model = build_mixed(graph, random_weights(0)).SerializeToString()
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    runtime = Counter(n.op_type for n in onnx.load(options.optimized_model_filepath).graph.node)
    ours = Counter((n.spec.kind, n.spec.dtype) for n in executed_nodes(graph))
    for kind, op_type in IN_FLOAT32.items():
        assert runtime[op_type] == ours[kind, "float32"], op_type
    # One that int8 alone reads vanishes, which is not told apart.
    assert runtime["Relu"] <= ours[OperatorKind.RELU, "float32"]
    for kind, op_type in IN_INT8.items():
        assert runtime[op_type] == ours[kind, "int8"], op_type
    for kind, op_type in CONVERTED.items():
        assert runtime[op_type] == ours[kind, "float32"], op_type
