"""What is fused for the library: fewer nodes, same network."""

from dataclasses import replace

import pytest

from latency.estimate.execution import executed_nodes
from latency.graph import INPUT, OUTPUT, GraphNode, NetworkGraph
from latency.library_form import library_form
from latency.operator import Activation, OperatorKind, OperatorSpec, Regime
from tests.latency.samples import RELU, conv, depthwise, linear, node, plain, pool, small_network

ADD = plain(OperatorKind.ADD, 8, inputs=2)
RECTIFY = plain(OperatorKind.RELU, 8)
CONV = conv(8, 8)
POOL = pool(OperatorKind.MAX_POOL, 8)


def formed(*nodes: GraphNode) -> dict[str, GraphNode]:
    graph = NetworkGraph(input_shape=(8, 8, 8), nodes=nodes)
    form = library_form(graph)
    assert form.regime is Regime.LIBRARY
    assert executed_nodes(form) == form.nodes
    assert library_form(form) is form
    return {node.name: node for node in form.nodes}


def library(spec: OperatorSpec, **changes: object) -> OperatorSpec:
    return replace(spec, regime=Regime.LIBRARY, **changes)  # type: ignore[arg-type]


def test_sum_moves_into_the_convolution_before_it() -> None:
    got = formed(
        node("a", CONV, INPUT),
        node("b", POOL, INPUT),
        node("sum", ADD, "a", "b"),
        node("end", POOL, "sum"),
    )
    assert list(got) == ["b", "a", "end"]  # the convolution runs where the sum did
    assert got["a"] == node("a", library(CONV, residual=True), INPUT, "b")
    assert got["end"].inputs == ("a",)


def test_residual_block_is_two_nodes() -> None:
    got = formed(
        node("first", replace(CONV, activation=RELU), INPUT),
        node("second", CONV, "first"),
        node("sum", ADD, "second", INPUT),
        node("relu", RECTIFY, "sum"),
        node("pool", POOL, "relu"),
        node("end", ADD, "pool", "relu"),
    )
    assert got["second"].spec == library(CONV, residual=True, activation=RELU)
    assert got["second"].inputs == ("first", INPUT)
    assert got["end"].inputs == ("pool", "second")
    assert list(got) == ["first", "second", "pool", "end"]


def test_sums_of_sums_follow_each_other() -> None:
    got = formed(
        node("a", CONV, INPUT),
        node("b", CONV, INPUT),
        node("c", CONV, INPUT),
        node("one", ADD, "a", "b"),
        node("two", ADD, "one", "c"),
        node("end", POOL, "two"),
    )
    assert got["b"].inputs == (INPUT, "a")
    assert got["c"].inputs == (INPUT, "b")
    assert got["end"].inputs == ("c",)


def test_relu_moves_into_every_convolution_that_reads_it() -> None:
    got = formed(
        node("relu", RECTIFY, INPUT),
        node("a", CONV, "relu"),
        node("b", depthwise(8), "relu"),
        node("both", plain(OperatorKind.CONCAT, 8, inputs=2), "a", "b"),
    )
    assert list(got) == ["a", "b", "both"]
    assert got["a"].spec == library(CONV, relu_input=True)
    assert got["b"].spec == library(depthwise(8), relu_input=True)
    assert got["a"].inputs == got["b"].inputs == (INPUT,)


@pytest.mark.parametrize("other", [POOL, RECTIFY])
def test_relu_stays_where_something_else_reads_it(other: OperatorSpec) -> None:
    got = formed(
        node("relu", RECTIFY, INPUT),
        node("a", CONV, "relu"),
        node("b", other, "relu"),
        node("both", plain(OperatorKind.CONCAT, 8, inputs=2), "a", "b"),
    )
    assert not got["a"].spec.relu_input
    assert got["a"].inputs == ("relu",)


def test_relu_that_is_added_stays() -> None:
    got = formed(
        node("relu", RECTIFY, INPUT), node("a", CONV, "relu"), node("sum", ADD, "a", "relu")
    )
    assert got["a"] == node("a", library(CONV, residual=True), "relu", "relu")


def test_what_cannot_be_fused_stays() -> None:
    shared = formed(  # the convolution has another reader
        node("a", CONV, INPUT),
        node("sum", ADD, "a", INPUT),
        node("both", plain(OperatorKind.CONCAT, 8, inputs=2), "a", "sum"),
    )
    assert list(shared) == ["a", "sum", "both"]
    rectified = formed(  # the sum would come before the ReLU
        node("a", replace(CONV, activation=RELU), INPUT), node("sum", ADD, "a", INPUT)
    )
    assert list(rectified) == ["a", "sum"]
    doubled = formed(node("a", CONV, INPUT), node("sum", ADD, "a", "a"))
    assert list(doubled) == ["a", "sum"]
    channelwise = formed(node("a", depthwise(8), INPUT), node("sum", ADD, "a", INPUT))
    assert list(channelwise) == ["a", "sum"]


def test_equal_pools_become_one() -> None:
    got = formed(node("a", POOL, INPUT), node("b", POOL, INPUT), node("sum", ADD, "a", "b"))
    assert list(got) == ["a", "sum"]
    assert got["sum"].inputs == ("a", "a")


def test_every_weight_is_still_there() -> None:
    graph = small_network()
    form = library_form(graph)
    weighted = {node.name for node in graph.nodes if node.spec.weight_shape}
    assert {node.name for node in form.nodes if node.spec.weight_shape} == weighted
    assert form.nodes[-1].name == OUTPUT
    assert form.nodes[-1].spec == library(linear(32, 10))
    assert len(form.nodes) == len(graph.nodes) - 2  # the sum and the ReLU behind it
    (point,) = [node for node in form.nodes if node.name == "left.point"]
    assert point.spec.activation is Activation.RELU
    assert point.inputs == ("left", "right")
