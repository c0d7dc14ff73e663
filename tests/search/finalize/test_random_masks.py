"""Masks that are drawn: densities, nesting, patterns, seeds; and a training with them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.operator import BLOCK_ROWS, SparsityPattern
from search.finalize.final_network import FinalNetwork
from search.finalize.prune import prune, prune_at_random
from search.finalize.run import Goal
from search.layers.patterns import group_scores, kept_groups
from search.layers.sparse import set_pattern, sparse_layers
from search.space.sparsity import Sparsity
from tests.search.finalize.test_train import GOAL, SMALL_SPLIT, run
from tests.search.space.tables import SMALL, some_genotype

PATTERNS = (SparsityPattern.UNSTRUCTURED, SparsityPattern.BLOCK)


def network_of(pattern: SparsityPattern) -> FinalNetwork:
    network = FinalNetwork(some_genotype(8), SMALL)
    set_pattern(network, pattern)
    return network


def alike(network: FinalNetwork, density: float) -> dict[str, Sparsity]:
    """Return one density for every layer, in the pattern that it has."""
    return {
        path: Sparsity(pattern=layer.pattern, density=density)
        for path, layer in sparse_layers(network).items()
    }


def masks_of(network: FinalNetwork) -> dict[str, torch.Tensor]:
    return {path: layer.mask.clone() for path, layer in sparse_layers(network).items()}


def groups_of(network: FinalNetwork) -> dict[str, int]:
    """Return how many groups each layer keeps."""
    return {
        path: int((group_scores(layer.mask.float(), layer.pattern) > 0).sum())
        for path, layer in sparse_layers(network).items()
    }


@pytest.mark.parametrize("pattern", PATTERNS)
@settings(max_examples=5, deadline=None)
@given(density=st.floats(0.05, 1.0), seed=st.integers(0, 2**32 - 1))
def test_densities_end_as_those_of_the_magnitudes(
    pattern: SparsityPattern, density: float, seed: int
) -> None:
    network = network_of(pattern)
    prune(network, density)
    wanted = groups_of(network)
    densities = {
        path: Sparsity(pattern=pattern, density=layer.density)
        for path, layer in sparse_layers(network).items()
    }
    prune_at_random(network, densities, 1.0, seed)
    assert groups_of(network) == wanted
    before = masks_of(network)
    for progress in (0.5, 0.0):
        prune_at_random(network, densities, progress, seed)
        kept = groups_of(network)
        for path, layer in sparse_layers(network).items():
            count = group_scores(layer.weight, layer.pattern).numel()
            assert kept[path] == kept_groups(count, layer.density)
            assert not (before[path] & ~layer.mask).any(), "what is masked stays masked"
        before = masks_of(network)
    assert all(mask.all() for mask in before.values())


def test_blocks_share_their_mask() -> None:
    network = network_of(SparsityPattern.BLOCK)
    prune_at_random(network, alike(network, 0.3), 1.0, 0)
    for layer in sparse_layers(network).values():
        for block in torch.split(layer.mask, BLOCK_ROWS):
            assert (block == block[:1]).all()


def test_seed_and_layer_decide_and_weights_do_not() -> None:
    first, second = network_of(PATTERNS[0]), network_of(PATTERNS[0])  # other weights
    densities = alike(first, 0.4)
    for network in (first, second):
        prune_at_random(network, densities, 1.0, 5)
    masks = masks_of(first)
    assert all(torch.equal(mask, masks_of(second)[path]) for path, mask in masks.items())
    prune_at_random(second, densities, 1.0, 6)
    assert not all(torch.equal(mask, masks_of(second)[path]) for path, mask in masks.items())
    shape = masks["classifier"].shape
    same = [path for path, mask in masks.items() if mask.shape == shape and path != "classifier"]
    assert not any(torch.equal(masks[path], masks["classifier"]) for path in same)


def test_a_layer_without_a_density_is_named() -> None:
    with pytest.raises(ValueError, match=r"no density for layer 'stem\.conv'"):
        prune_at_random(network_of(PATTERNS[0]), {}, 1.0, 0)


def test_a_training_with_random_masks_ends_with_just_those(tmp_path: Path) -> None:
    network = network_of(GOAL.pattern)
    densities = alike(network, 0.3)
    prune_at_random(network, densities, 1.0, GOAL.seed)
    drawn = masks_of(network)
    goal = replace(GOAL, random_masks=densities)
    trained, outcome, events = run(tmp_path / "random", goal, SMALL_SPLIT)
    assert all(torch.equal(mask, drawn[path]) for path, mask in masks_of(trained).items())
    assert outcome.density == pytest.approx(0.3, abs=0.02)
    assert [event["density"] for event in events[:2]] == [1.0, 1.0]
    for layer in sparse_layers(trained).values():
        assert not layer.weight[~layer.mask].any()


def test_a_training_towards_density_one_keeps_every_weight(tmp_path: Path) -> None:
    goal = Goal(density=1.0, pattern=SparsityPattern.BLOCK, seed=3)
    network, outcome, events = run(tmp_path, goal, SMALL_SPLIT)
    assert outcome.density == 1.0
    assert {event["density"] for event in events} == {1.0}
    assert all(layer.mask.all() for layer in sparse_layers(network).values())
