import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.operator import SparsityPattern
from search.finalize.energies import GROUPED_PATTERNS, layer_energies
from search.finalize.final_network import FinalNetwork
from search.finalize.network_energies import network_energies
from search.layers.patterns import group_scores, top_k_mask
from search.space.dass_cells import build_graph
from tests.search.space.tables import SMALL, some_genotype


def some_weights(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 9), density=st.floats(0.01, 1.0))
def test_distortion_is_that_of_the_mask_that_training_would_choose(
    seed: int, rows: int, density: float
) -> None:
    weights = some_weights(seed, (rows, 3, 2, 2))
    energies = layer_energies([weights.numpy()])
    mask = top_k_mask(weights, SparsityPattern.UNSTRUCTURED, density)
    kept = float((weights * mask).square().sum() / weights.square().sum())
    found = energies.distortion(SparsityPattern.UNSTRUCTURED, density)
    assert found == pytest.approx(-math.log(kept), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 9), density=st.floats(0.01, 1.0))
def test_no_choice_of_as_many_blocks_keeps_more(seed: int, rows: int, density: float) -> None:
    weights = some_weights(seed, (rows, 3))
    mask = top_k_mask(weights, SparsityPattern.BLOCK, density)
    kept = float((weights * mask).square().sum() / weights.square().sum())
    found = layer_energies([weights.numpy()]).distortion(SparsityPattern.BLOCK, density)
    # Training ranks blocks by mean magnitude, which is nearly the order of their energies.
    assert 0.0 <= found <= -math.log(kept) + 1e-9


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    densities=st.lists(st.floats(0.01, 1.0), min_size=2, max_size=6),
    pattern=st.sampled_from(GROUPED_PATTERNS),
)
def test_more_density_never_distorts_more(
    seed: int, densities: list[float], pattern: SparsityPattern
) -> None:
    energies = layer_energies([some_weights(seed, (6, 5)).numpy()])
    found = [energies.distortion(pattern, density) for density in sorted(densities)]
    assert found == sorted(found, reverse=True)
    assert energies.distortion(pattern, 1.0) == 0.0


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    parts=st.integers(1, 2),
    density=st.floats(0.001, 1.0),
    pattern=st.sampled_from(GROUPED_PATTERNS),
)
def test_what_is_reached_is_what_masks_keep_and_is_reached_again(
    rows: int, columns: int, parts: int, density: float, pattern: SparsityPattern
) -> None:
    weights = some_weights(0, (rows, columns))
    energies = layer_energies([weights.numpy()] * parts)
    reached = energies.reached(pattern, density)
    masks = [top_k_mask(weights, pattern, wanted) for wanted in (density, reached)]
    assert torch.equal(*masks)
    groups = group_scores(masks[0].double(), pattern) > 0
    assert reached == pytest.approx(float(groups.double().mean()), abs=6e-5)
    assert energies.reached(pattern, reached) == reached


def test_scale_and_copies_of_a_layer_make_no_difference() -> None:
    weights = some_weights(0, (8, 4)).numpy()
    plain = layer_energies([weights])
    for other in (layer_energies([1e3 * weights]), layer_energies([weights, weights])):
        for pattern in GROUPED_PATTERNS:
            wanted = pytest.approx(plain.distortion(pattern, 0.25))
            assert other.distortion(pattern, 0.25) == wanted


def test_dense_and_dead_layers_lose_nothing() -> None:
    assert layer_energies([np.ones((4, 4))]).distortion(SparsityPattern.DENSE, 1.0) == 0.0
    assert layer_energies([np.zeros((4, 4))]).distortion(SparsityPattern.BLOCK, 0.25) == 0.0


@pytest.mark.parametrize("weights", [[], [np.zeros((0, 3))], [np.array([[1.0, np.nan]])]])
def test_what_is_no_layer_is_refused(weights: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match="energies: "):
        layer_energies(weights)


def test_a_network_has_energies_under_the_names_of_its_graph() -> None:
    genotype = some_genotype(3)
    found = network_energies(FinalNetwork(genotype, SMALL))
    nodes = build_graph(genotype, SMALL).nodes
    assert set(found) == {node.parameters for node in nodes if node.parameters}
