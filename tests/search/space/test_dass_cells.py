from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.graph import OUTPUT, NetworkGraph
from latency.operator import Activation, OperatorKind, SparsityPattern
from search.space.dass_cells import build_graph, plan_cells
from search.space.genotype import Genotype, LayerChoice
from tests.search.space.tables import DIGITS, SMALL, some_genotype

SKIPS = tuple(("skip_connect", source) for _ in range(4) for source in (0, 1))
SEPARABLE = tuple(("sep_conv_3x3", source) for _ in range(4) for source in (0, 1))


def network(normal: str, reduce: str = "max_pool_3x3", cells: int = 5) -> Genotype:
    edges = [
        tuple((name, source) for _ in range(4) for source in (0, 1)) for name in (normal, reduce)
    ]
    return Genotype(normal=edges[0], reduce=edges[1], channels=16, cells=cells)


def names(graph: NetworkGraph) -> set[str]:
    return {node.name for node in graph.nodes}


def test_plan_follows_darts() -> None:
    plans = plan_cells(16, 8, DIGITS)
    assert [plan.index for plan in plans if plan.reduction] == [2, 5]
    assert [plan.channels for plan in plans] == [16, 16, 32, 32, 32, 64, 64, 64]
    assert [plan.size for plan in plans] == [16, 16, 16, 8, 8, 8, 4, 4]
    assert [plan.after_reduction for plan in plans] == [False] * 3 + [True] + [False] * 2 + [
        True,
        False,
    ]
    assert plans[0].inputs == (48, 48)
    assert plans[3].inputs == (64, 128)


def test_output_is_the_classifier() -> None:
    last = build_graph(network("skip_connect"), DIGITS).nodes[-1]
    assert (last.name, last.parameters) == (OUTPUT, "classifier")
    assert last.spec.in_channels == 4 * 64
    assert last.spec.out_channels == 10


def test_skips_of_stride_one_cost_nothing() -> None:
    graph = build_graph(network("skip_connect"), DIGITS)
    assert not [name for name in names(graph) if name.startswith("cells.0.edges")]
    add = next(node for node in graph.nodes if node.name == "cells.0.node2")
    assert add.inputs == ("cells.0.preprocess0.conv", "cells.0.preprocess1.conv")


def test_halving_skip_is_one_convolution_of_stride_two() -> None:
    graph = build_graph(network("skip_connect", "skip_connect"), DIGITS)
    spec = next(node.spec for node in graph.nodes if node.name == "cells.1.edges.0")
    assert (spec.kernel, spec.stride, spec.padding) == (2, 2, 0)
    assert spec.out_shape == (32, 8, 8)


def test_relu_of_a_state_is_shared() -> None:
    cell = list(SKIPS)
    cell[2], cell[4], cell[6] = (("sep_conv_3x3", 2), ("dil_conv_3x3", 2), ("sep_conv_5x5", 2))
    graph = build_graph(replace(network("skip_connect"), normal=tuple(cell)), DIGITS)
    readers = [node.name for node in graph.nodes if "cells.0.node2.relu" in node.inputs]
    assert len(readers) == 3


def test_relu_is_fused_where_nothing_reads_the_convolution_raw() -> None:
    graph = build_graph(network("sep_conv_3x3"), DIGITS)
    specs = {node.name: node.spec for node in graph.nodes}
    assert specs["stem.conv"].activation is Activation.RELU
    assert specs["cells.0.preprocess0.conv"].activation is Activation.RELU
    assert specs["cells.0.edges.0.pointwise1"].activation is Activation.RELU
    assert specs["cells.0.edges.0.pointwise2"].activation is Activation.NONE
    assert "cells.0.preprocess0.conv.relu" not in specs
    raw = {n.name: n.spec for n in build_graph(network("skip_connect"), DIGITS).nodes}
    assert raw["cells.0.preprocess0.conv"].activation is Activation.NONE


def test_middle_width_follows_the_choice() -> None:
    choice = LayerChoice(layer="cells.0.edges.1", pattern=SparsityPattern.CHANNEL, density=0.25)
    graph = build_graph(network("sep_conv_3x3").with_layers((choice,)), DIGITS)
    specs = {node.name: node.spec for node in graph.nodes}
    assert specs["cells.0.edges.1.pointwise1"].out_channels == 4
    assert specs["cells.0.edges.1.depthwise2"].groups == 4
    assert specs["cells.0.edges.1.pointwise2"].in_channels == 4
    assert specs["cells.0.edges.0.pointwise1"].out_channels == 16


def test_weight_sparsity_reaches_the_operator() -> None:
    layer = "cells.0.edges.1.pointwise2"
    choice = LayerChoice(layer=layer, pattern=SparsityPattern.BLOCK, density=0.3)
    graph = build_graph(network("sep_conv_3x3").with_layers((choice,)), DIGITS)
    spec = next(node.spec for node in graph.nodes if node.name == layer)
    assert (spec.pattern, spec.density) == (SparsityPattern.BLOCK, 0.3)


@pytest.mark.parametrize(
    ("layer", "pattern", "density", "reason"),
    [
        ("cells.0.edges.1", "channel", 0.3, "density of"),
        ("cells.1.edges.1", "channel", 0.5, "no channel layer"),
        ("cells.9.edges.1", "channel", 0.5, "no channel layer"),
        ("cells.0.edges.1", "unstructured", 0.5, "takes pattern 'channel'"),
        ("cells.0.edges.1.pointwise3", "unstructured", 0.5, "no unstructured layer"),
    ],
)
def test_choice_for_a_missing_layer_is_refused(
    layer: str, pattern: str, density: float, reason: str
) -> None:
    choice = LayerChoice(layer=layer, pattern=SparsityPattern(pattern), density=density)
    with pytest.raises(ValueError, match=reason):
        build_graph(network("sep_conv_3x3").with_layers((choice,)), DIGITS)


def test_unread_input_leaves_the_graph() -> None:
    only_last = tuple(("skip_connect", 1) for _ in range(8))
    genotype = Genotype(normal=only_last, reduce=only_last, channels=16, cells=5)
    assert not [name for name in names(build_graph(genotype, DIGITS)) if "preprocess0" in name]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), cells=st.integers(1, 9), channels=st.sampled_from([1, 4, 10]))
def test_any_genotype_gives_a_graph_in_which_everything_is_read(
    seed: int, cells: int, channels: int
) -> None:
    graph = build_graph(some_genotype(seed, channels, cells), SMALL)
    read = {name for node in graph.nodes for name in node.inputs}
    assert {node.name for node in graph.nodes[:-1]} <= read
    assert graph.nodes[-1].spec.kind is OperatorKind.LINEAR
    assert NetworkGraph.from_dict(graph.to_dict()) == graph
