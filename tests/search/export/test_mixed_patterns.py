"""Networks with blocks in one layer, single weights in another, a third dense: file and price."""

from itertools import cycle

import pytest
import torch
from torch import nn

from latency.lowering.compact import compact
from latency.lowering.find_patterns import true_density
from latency.operator import BLOCK_ROWS, Regime, SparsityPattern
from search.export.export import export_network, sparse_genotype
from search.export.fold import fold_weights
from search.finalize.prune import apply_masks, prune_by_plan, silence_dead_channels
from search.finalize.train import AnyNetwork, make_network
from search.layers.operator_layers import operator_layers
from search.layers.sparse import sparse_layers
from search.space.dass_cells import WIDTH_STEPS
from search.space.networks import network_graph
from search.space.sparsity import Sparsity
from tests.search.finalize.planned import GENOTYPES, exact_estimator, planned
from tests.search.space.tables import SMALL

IMAGES = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
MIXED = (
    Sparsity(pattern=SparsityPattern.BLOCK, density=0.3),
    Sparsity(pattern=SparsityPattern.UNSTRUCTURED, density=0.2),
    Sparsity(pattern=SparsityPattern.DENSE, density=1.0),
)


def trained(space: str, *, dead: bool) -> AnyNetwork:
    """Return a pruned network, the patterns in turns over its operators."""
    torch.manual_seed(0)
    network = make_network(GENOTYPES[space], SMALL, planned(space).goal)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
    turns = cycle(MIXED)
    layers = {
        path: one
        for parts, one in zip(operator_layers(network).values(), turns, strict=False)
        for path in parts
    }
    prune_by_plan(network, layers, 1.0)
    if dead:  # only whole blocks stay of every layer whose pattern may lose outputs
        for layer in sparse_layers(network).values():
            if layer.pattern is not SparsityPattern.DENSE:
                layer.mask[BLOCK_ROWS:] = False
    silence_dead_channels(network)
    apply_masks(network)
    network.train()
    for _ in range(3):
        network(torch.randn(16, 1, 8, 8))
    return network.eval()


@pytest.mark.parametrize("space", list(GENOTYPES))
def test_the_file_computes_the_network_and_is_priced_as_what_it_is(space: str) -> None:
    network, estimator = trained(space, dead=False), exact_estimator(space)
    found = export_network(network, IMAGES, estimator=estimator)
    assert found.graph.regime is Regime.LIBRARY
    patterns = {node.spec.pattern for node in found.graph.nodes if node.parameters}
    assert patterns == {one.pattern for one in MIXED}
    described = {
        choice.layer: choice.pattern
        for choice in sparse_genotype(network).layers
        if choice.pattern is not SparsityPattern.CHANNEL
    }
    for operator, parts in operator_layers(network).items():
        (pattern,) = {part.pattern for part in parts.values()}
        if all(part.mask.all() for part in parts.values()):  # such as a single block
            pattern = SparsityPattern.DENSE
        assert described.get(operator, SparsityPattern.DENSE) is pattern


@pytest.mark.parametrize("space", list(GENOTYPES))
def test_what_is_left_after_compaction_has_the_density_that_it_is_priced_at(space: str) -> None:
    network = trained(space, dead=True)
    found = export_network(network, IMAGES)
    assert found.removed_channels > 0
    full = network_graph(sparse_genotype(network), SMALL)
    before = {node.name: node.spec for node in full.nodes}
    _, weights = compact(full, fold_weights(network, full), width_steps=WIDTH_STEPS)
    narrowed = 0
    for node in found.graph.nodes:
        spec = node.spec
        if spec.pattern is SparsityPattern.DENSE or spec.is_depthwise or spec == before[node.name]:
            continue
        narrowed += 1
        left = true_density(weights[node.name])
        if spec.pattern is SparsityPattern.UNSTRUCTURED:
            assert spec.density == pytest.approx(left, abs=1e-4)
        else:
            assert spec.density >= left - 1e-4
    assert narrowed > 0
