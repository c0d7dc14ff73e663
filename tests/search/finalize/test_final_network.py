import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from search.finalize.final_network import FinalNetwork
from search.finalize.norms import normed_convs
from search.layers.sparse import sparse_layers
from search.space.dass_cells import build_graph
from search.space.genotype import Genotype
from tests.search.space.tables import SMALL, some_genotype


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 100_000), cells=st.integers(1, 7))
def test_network_has_exactly_the_layers_of_the_graph(seed: int, cells: int) -> None:
    genotype = some_genotype(seed, 4, cells)
    network = FinalNetwork(genotype, SMALL)
    modules = dict(network.named_modules())
    named = {node.parameters for node in build_graph(genotype, SMALL).nodes if node.parameters}
    assert named <= set(modules)
    owned = set(sparse_layers(network))
    # A factorized reduce is one node with two layers.
    covered = {layer for layer in owned if layer in named or layer.rpartition(".")[0] in named}
    assert covered == owned
    with torch.no_grad():
        assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 3)


def test_widths_reach_the_modules() -> None:
    genotype = some_genotype(8, 8, 3)
    network = FinalNetwork(genotype, SMALL)
    graph = build_graph(genotype, SMALL)
    widths = {n.parameters: n.spec.out_channels for n in graph.nodes if "pointwise1" in n.name}
    assert widths
    assert {widths[path] for path in widths} != {8, 16, 32}
    layers = sparse_layers(network)
    assert {path: layers[path].weight.shape[0] for path in widths} == widths


def test_every_batch_norm_is_found() -> None:
    network = FinalNetwork(some_genotype(8, 4, 5), SMALL)
    found = {id(normed.norm) for normed in normed_convs(network)}
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert found == {id(norm) for norm in norms}


def test_unread_input_and_cell_have_no_modules() -> None:
    cell = tuple(("skip_connect", 0) for _ in range(8))
    genotype = Genotype(normal=cell, reduce=cell, channels=4, cells=4)
    network = FinalNetwork(genotype, SMALL)
    # Cell k reads cell k - 2 only, so what the last cell does not reach back to is gone.
    assert sorted(dict(network.cells.items())) == ["1", "3"]
    assert not [path for path in sparse_layers(network) if "preprocess1" in path]
    assert network(torch.zeros(1, 1, 8, 8)).shape == (1, 3)


def test_unknown_layer_is_refused() -> None:
    genotype = some_genotype(3)
    wrong = Genotype.from_dict(
        {
            **genotype.to_dict(),
            "layers": [{"layer": "cells.7.edges.0", "pattern": "channel", "density": 0.5}],
        }
    )
    with pytest.raises(ValueError, match="no channel layer"):
        FinalNetwork(wrong, SMALL)
