"""StageNetwork is the network that `build_stages` describes, layer by layer and in its outputs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.lowering.build import build_model
from latency.lowering.compact import compact
from latency.operator import SparsityPattern
from search.export.fold import fold_weights, weight_source
from search.export.parity import max_difference
from search.finalize.norms import normed_convs
from search.finalize.stage_network import StageNetwork
from search.layers.sparse import sparse_layers
from search.space.genotype import LayerChoice
from search.space.stage_genotype import BlockKind, Stage, StageGenotype
from search.space.stage_networks import build_stages
from search.space.stage_space import StageSpace
from tests.search.finalize.trained import as_if_trained
from tests.search.space.stages import mixed_stages
from tests.search.space.tables import SMALL

IMAGES = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
MIXED = mixed_stages(4)
PROJECTED = replace(
    MIXED,
    stages=(
        Stage(kind=BlockKind.PROJECTED, width=4, depth=1, expansion=1),
        Stage(kind=BlockKind.PROJECTED, width=8, depth=2, expansion=4),
        Stage(kind=BlockKind.PROJECTED, width=8, depth=2, stride=2, expansion=2),
    ),
)
WITHOUT_EXPANSION = replace(
    MIXED, stages=(Stage(kind=BlockKind.INVERTED, width=4, depth=2),) * 3, head=0
)
NETWORKS = {"mixed": MIXED, "projected": PROJECTED, "without-expansion": WITHOUT_EXPANSION}


def trained(
    genotype: StageGenotype, density: float = 1.0, pattern: str = "unstructured"
) -> StageNetwork:
    return as_if_trained(lambda: StageNetwork(genotype, SMALL), density, pattern)


def some_stages(seed: int) -> StageGenotype:
    return StageSpace(width=4, task=SMALL).random_genotype(np.random.default_rng(seed))


@settings(max_examples=25, deadline=None)
@given(genotype=st.sampled_from([PROJECTED]) | st.builds(some_stages, st.integers(0, 100_000)))
def test_network_has_exactly_the_layers_of_the_graph(genotype: StageGenotype) -> None:
    network = StageNetwork(genotype, SMALL)
    specs = {n.parameters: n.spec for n in build_stages(genotype, SMALL).nodes if n.parameters}
    shapes = {path: tuple(layer.weight.shape) for path, layer in sparse_layers(network).items()}
    assert shapes == {path: spec.weight_shape for path, spec in specs.items()}
    with torch.no_grad():
        assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 3)


@pytest.mark.parametrize("genotype", NETWORKS.values(), ids=NETWORKS)
def test_every_batch_norm_is_found(genotype: StageGenotype) -> None:
    network = StageNetwork(genotype, SMALL)
    layers = sparse_layers(network)
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    found = {normed.path: normed for normed in normed_convs(network)}
    assert {id(normed.norm) for normed in found.values()} == {id(norm) for norm in norms}
    assert set(found) == set(layers) - {"logits"}
    assert all(normed.convs == (layers[path],) for path, normed in found.items())


@pytest.mark.parametrize("pattern", ["unstructured", "block"])
@pytest.mark.parametrize("density", [1.0, 0.3, 0.06])
@pytest.mark.parametrize("genotype", NETWORKS.values(), ids=NETWORKS)
def test_exported_graph_computes_the_same(
    genotype: StageGenotype, density: float, pattern: str
) -> None:
    network = trained(genotype, density, pattern)
    full = build_stages(genotype, SMALL)
    graph, weights = compact(full, fold_weights(network, full))
    model = build_model(graph, weight_source(weights)).SerializeToString()
    with torch.no_grad():
        assert float(network(IMAGES).std()) > 1e-3, "a network that answers alike proves nothing"
    max_difference(model, network, IMAGES)


def test_dead_channels_leave() -> None:
    network = trained(MIXED, 0.06)
    full = build_stages(MIXED, SMALL)
    small, _ = compact(full, fold_weights(network, full))
    before, after = ({n.name: n.spec.out_channels for n in g.nodes} for g in (full, small))
    assert any(after[name] < before[name] for name in after)


def test_unknown_layer_is_refused() -> None:
    choice = LayerChoice(layer="stages.0.2.conv1", pattern=SparsityPattern.BLOCK, density=0.2)
    with pytest.raises(ValueError, match=r"no layer stages\.0\.2\.conv1"):
        StageNetwork(MIXED.with_layers((choice,)), SMALL)
