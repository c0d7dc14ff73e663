import pytest
import torch

from latency.operator import BLOCK_ROWS, SparsityPattern
from search.finalize.final_network import FinalNetwork
from search.finalize.norms import normed_convs
from search.finalize.prune import apply_masks, prune, silence_dead_channels
from search.layers.sparse import density_of, set_pattern, sparse_layers
from tests.search.space.tables import SMALL, some_genotype


def make_network(seed: int = 4) -> FinalNetwork:
    torch.manual_seed(seed)
    return FinalNetwork(some_genotype(seed, 8, 3), SMALL)


@pytest.mark.parametrize("pattern", [SparsityPattern.UNSTRUCTURED, SparsityPattern.BLOCK])
def test_whole_network_has_the_density(pattern: SparsityPattern) -> None:
    network = make_network()
    set_pattern(network, pattern)
    prune(network, 0.3)
    assert density_of(network) == pytest.approx(0.3, abs=0.01)
    if pattern is SparsityPattern.BLOCK:
        for layer in sparse_layers(network).values():
            for block in torch.split(layer.mask, BLOCK_ROWS):
                assert (block == block[:1]).all()


def test_largest_weights_of_a_layer_stay() -> None:
    network = make_network()
    prune(network, 0.3)
    for layer in sparse_layers(network).values():
        kept, dropped = layer.weight[layer.mask].abs(), layer.weight[~layer.mask].abs()
        if len(dropped):
            assert kept.min() >= dropped.max()


def test_dead_channels_are_silent_whatever_the_statistics() -> None:
    network = make_network()
    prune(network, 0.1)
    killed = 0
    with torch.no_grad():
        for normed in normed_convs(network):
            normed.convs[-1].mask[0] = False
            normed.norm.bias.fill_(1.0)
    silence_dead_channels(network)
    for normed in normed_convs(network):
        first = sum(conv.weight.shape[0] for conv in normed.convs[:-1])
        output = normed.norm(torch.randn(2, normed.norm.num_features, 3, 3))
        assert (output[:, first] == 0).all()
        killed += int((normed.norm.bias == 0).sum())
    assert killed >= len(list(normed_convs(network)))


def test_applied_masks_leave_the_function_as_it_is() -> None:
    network = make_network().eval()
    prune(network, 0.3)
    images = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        before = network(images)
        apply_masks(network)
        assert torch.equal(network(images), before)
    zeros = sum(int((layer.weight == 0).sum()) for layer in sparse_layers(network).values())
    total = sum(layer.weight.numel() for layer in sparse_layers(network).values())
    assert zeros / total == pytest.approx(0.7, abs=0.01)
