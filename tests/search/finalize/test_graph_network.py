"""Networks that were given, as torch modules: what they compute, and how they are pruned."""

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.graph import INPUT, GraphNode, NetworkGraph
from latency.lowering.build import build_model
from latency.lowering.read_model import read_model
from latency.lowering.weights import random_weights
from latency.operator import OperatorKind, OperatorSpec, SparsityPattern
from search.export.export import export_network
from search.export.parity import max_difference
from search.finalize.graph_network import GraphNetwork, graph_genotype
from search.finalize.prune import apply_masks, prune, silence_dead_channels
from search.layers.operator_layers import operator_layers
from search.layers.sparse import LayerMode, set_pattern, sparse_layers
from search.space.builtin import resnet18
from search.space.dass_cells import build_graph
from search.space.graph_genotype import GraphGenotype
from search.space.networks import network_graph, read_genotype
from search.space.stage_networks import build_stages
from search.space.task import TaskShape
from tests.search.compress.given import brought_model
from tests.search.space.stages import mixed_stages
from tests.search.space.tables import SMALL, some_genotype

TASK = TaskShape(image_channels=1, image_size=8, classes=10)
IMAGES = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def brought() -> GraphNetwork:
    read = read_model(brought_model())
    network = GraphNetwork(graph_genotype(read.graph), TASK)
    network.take_weights(read.weights)
    return network.eval()


def test_a_network_that_is_brought_computes_what_its_file_does() -> None:
    model = brought_model().SerializeToString()
    assert max_difference(model, brought(), IMAGES) < 1e-5


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000))
def test_stages_as_graphs_compute_what_is_built_from_them(seed: int) -> None:
    graph = build_stages(mixed_stages(4), SMALL)
    weights = random_weights(seed)
    network = GraphNetwork(graph_genotype(graph), SMALL)
    network.take_weights({node.name: w for node in graph.nodes if (w := weights(node))})
    model = build_model(graph, weights).SerializeToString()
    assert max_difference(model, network, torch.randn(2, 1, 8, 8)) >= 0.0


@pytest.mark.parametrize("pattern", [SparsityPattern.UNSTRUCTURED, SparsityPattern.BLOCK])
def test_pruned_export_computes_the_same_and_says_its_densities(pattern: SparsityPattern) -> None:
    network = brought()
    set_pattern(network, pattern)
    prune(network, 0.3)
    silence_dead_channels(network)
    apply_masks(network)
    exported = export_network(network, IMAGES)
    assert isinstance(exported.genotype, GraphGenotype)
    assert {choice.pattern for choice in exported.genotype.layers} == {pattern}
    kept = sum(layer.kept_weights() for layer in sparse_layers(network).values())
    assert exported.nonzeros <= kept
    assert network_graph(read_genotype(exported.genotype.to_dict()), TASK) == network_graph(
        exported.genotype, TASK
    )


def test_dead_channels_leave_although_they_had_a_bias() -> None:
    network = brought()
    path, layer = next(item for item in sparse_layers(network).items() if "mixed" in item[0])
    bias = layer.bias
    assert bias is not None
    assert float(bias.detach()[0]) != 0.0, path
    layer.set_mode(LayerMode.MASKED)
    layer.mask[0] = False
    silence_dead_channels(network)
    assert float(bias.detach()[0]) == 0.0
    assert (bias[1:] != 0.0).all()
    assert export_network(network, IMAGES).removed_channels == 0  # a sum reads it


def test_layers_are_named_as_the_graph_names_them() -> None:
    network = brought()
    names = {node.parameters for node in network.genotype.graph.nodes if node.parameters}
    assert set(operator_layers(network)) == names


def test_names_that_torch_keeps_for_itself_are_evaded() -> None:
    def linear(name: str, source: str) -> GraphNode:
        spec = OperatorSpec(
            kind=OperatorKind.LINEAR, in_channels=64, out_channels=64, height=1, width=1
        )
        return GraphNode(name=name, spec=spec, inputs=(source,), parameters=name)

    pool = OperatorSpec(
        kind=OperatorKind.GLOBAL_AVG_POOL, in_channels=64, out_channels=64, height=8, width=8
    )
    nodes = (
        GraphNode(name="training", spec=pool, inputs=(INPUT,)),
        linear("pop", "training"),
        linear("pop_", "pop"),
        linear("forward", "pop_"),
    )
    genotype = graph_genotype(NetworkGraph(input_shape=(64, 8, 8), nodes=nodes))
    network = GraphNetwork(genotype, TaskShape(image_channels=64, image_size=8, classes=64))
    assert len(sparse_layers(network)) == 3
    assert network(torch.zeros(2, 64, 8, 8)).shape == (2, 64)


def test_all_operators_that_cannot_be_trained_are_named() -> None:
    graph = build_graph(some_genotype(1), SMALL)
    merged = [
        node.name
        for node in graph.nodes
        if node.spec.kernel == 2 and node.spec.kind is OperatorKind.CONV
    ]
    assert merged
    with pytest.raises(ValueError, match="a kernel of 2") as caught:
        graph_genotype(graph)
    assert all(repr(name) in str(caught.value) for name in merged)


def test_another_task_is_refused() -> None:
    genotype = graph_genotype(resnet18())
    with pytest.raises(ValueError, match=r"reads \(3, 224, 224\) and tells 1000 classes apart"):
        GraphNetwork(genotype, TASK)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer": "layers.none"}, "has no layer layers.none"),
        ({"pattern": "positions"}, "must be one of"),
        ({"density": 0.0}, "must be above 0"),
    ],
)
def test_wrong_choices_are_refused(change: dict[str, object], message: str) -> None:
    values = brought().genotype.to_dict()
    name = next(n["parameters"] for n in values["graph"]["nodes"] if n["parameters"])
    values["layers"] = [{"layer": name, "pattern": "block", "density": 0.5} | change]
    with pytest.raises(ValueError, match=message):
        read_genotype(values)


def test_weights_are_in_the_file_as_they_were_brought() -> None:
    read = read_model(brought_model())
    exported = export_network(brought(), IMAGES)
    again = read_model(onnx.load_from_string(exported.model))
    for name, parts in read.weights.items():
        assert np.allclose(parts["weight"], again.weights[name]["weight"])
