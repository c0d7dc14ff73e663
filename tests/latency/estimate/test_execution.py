import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.estimate.execution import executed_nodes
from latency.graph import INPUT, GraphNode, NetworkGraph
from latency.lowering.build import build_model
from latency.lowering.weights import random_weights
from latency.operator import OperatorKind
from latency.profiler.session import session_options
from tests.latency import samples

CHANNELS = 32  # a multiple of every block of channels in use
IN_RUNTIME = {
    OperatorKind.CONV: "Conv",
    OperatorKind.RELU: "Relu",
    OperatorKind.ADD: "Add",
    OperatorKind.MAX_POOL: "MaxPool",
}


def network(*nodes: GraphNode) -> NetworkGraph:
    head = samples.node("head", samples.plain(OperatorKind.GLOBAL_AVG_POOL, CHANNELS), "last")
    first = samples.node("x", samples.conv(3, CHANNELS, activation=samples.RELU), INPUT)
    return NetworkGraph(input_shape=(3, 8, 8), nodes=(first, *nodes, head))


def conv(name: str, source: str) -> GraphNode:
    return samples.node(name, samples.conv(CHANNELS, CHANNELS), source)


def relu(name: str, source: str) -> GraphNode:
    return samples.node(name, samples.plain(OperatorKind.RELU, CHANNELS), source)


def add(name: str, *sources: str) -> GraphNode:
    return samples.node(name, samples.plain(OperatorKind.ADD, CHANNELS, inputs=2), *sources)


def max_pool(name: str, source: str) -> GraphNode:
    return samples.node(name, samples.pool(OperatorKind.MAX_POOL, CHANNELS), source)


def names(graph: NetworkGraph) -> list[str]:
    return [node.name for node in executed_nodes(graph)][1:-1]


def test_a_sum_and_its_relu_go_into_the_convolution() -> None:
    graph = network(conv("a", "x"), add("b", "x", "a"), relu("last", "b"))
    assert names(graph) == ["a"]


def test_a_sum_with_a_tensor_that_others_read_stays() -> None:
    graph = network(conv("a", "x"), add("b", "x", "a"), add("last", "b", "a"))
    assert names(graph) == ["a", "b", "last"]


def test_a_sum_of_pools_stays_and_equal_pools_are_one() -> None:
    graph = network(max_pool("a", "x"), max_pool("b", "x"), add("last", "a", "b"))
    assert names(graph) == ["a", "last"]
    assert executed_nodes(graph)[2].inputs == ("a", "a")


def test_equal_convolutions_have_weights_of_their_own_and_stay() -> None:
    graph = network(conv("a", "x"), conv("b", "x"), add("last", "a", "b"))
    assert names(graph) == ["a", "b"]


@st.composite
def random_networks(draw: st.DrawFn) -> NetworkGraph:
    """Some operators on earlier tensors, then a chain of sums so that every one is needed."""
    makers = [conv, relu, max_pool]
    nodes: list[GraphNode] = []
    known = ["x"]
    for index in range(draw(st.integers(1, 7))):
        name = f"n{index}"
        if len(known) > 1 and draw(st.booleans()):
            two = draw(st.lists(st.sampled_from(known), min_size=2, max_size=2, unique=True))
            nodes.append(add(name, *two))
        else:
            nodes.append(draw(st.sampled_from(makers))(name, draw(st.sampled_from(known))))
        known.append(name)
    unread = [name for name in known if not any(name in node.inputs for node in nodes)]
    for index, name in enumerate(unread[:-1]):
        unread[index + 1] = f"s{index}"
        nodes.append(add(f"s{index}", name, known[-1] if index == 0 else known[0]))
    return network(*nodes, max_pool("last", nodes[-1].name))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("optimised"))


@settings(max_examples=40, deadline=None)
@given(random_networks())
def test_the_runtime_executes_what_we_say(folder: str, graph: NetworkGraph) -> None:
    options = session_options(samples.target())
    options.optimized_model_filepath = f"{folder}/model.onnx"
    options.log_severity_level = 4
    reachable = reachable_part(graph)
    model = build_model(reachable, random_weights(0)).SerializeToString()
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    optimised = onnx.load(options.optimized_model_filepath)
    in_runtime = [node.op_type for node in optimised.graph.node]
    ours = [node.spec.kind for node in executed_nodes(reachable)]
    for kind, op_type in IN_RUNTIME.items():
        assert in_runtime.count(op_type) == ours.count(kind), op_type


def reachable_part(graph: NetworkGraph) -> NetworkGraph:
    wanted, kept = {graph.nodes[-1].name}, []
    for node in reversed(graph.nodes):
        if node.name in wanted:
            wanted.update(node.inputs)
            kept.append(node)
    return NetworkGraph(input_shape=graph.input_shape, nodes=tuple(kept[::-1]))
