"""Masks keep exactly the groups that they should."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.operator import BLOCK_ROWS, SparsityPattern
from search.layers.patterns import (
    expand_groups,
    group_scores,
    group_sizes,
    kept_groups,
    top_k_mask,
)

SPARSE = (SparsityPattern.UNSTRUCTURED, SparsityPattern.BLOCK, SparsityPattern.CHANNEL)

shapes = st.one_of(
    st.tuples(st.integers(1, 11), st.integers(1, 5), st.just(3), st.just(3)),
    st.tuples(st.integers(1, 11), st.integers(1, 9)),
)
cases = st.tuples(shapes, st.sampled_from(SPARSE), st.floats(0.01, 1.0), st.integers(0, 2**31 - 1))


def random_scores(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@given(cases)
@settings(max_examples=150, deadline=None)
def test_mask_keeps_the_exact_number_of_groups(
    case: tuple[tuple[int, ...], SparsityPattern, float, int],
) -> None:
    shape, pattern, density, seed = case
    scores = random_scores(shape, seed)
    mask = top_k_mask(scores, pattern, density)
    groups = group_scores(mask.float(), pattern)
    assert mask.shape == scores.shape
    assert set(groups.flatten().tolist()) <= {0.0, 1.0}, "a group is kept or dropped as a whole"
    assert int(groups.sum()) == kept_groups(groups.numel(), density)


@given(cases)
@settings(max_examples=150, deadline=None)
def test_no_dropped_group_scores_higher_than_a_kept_one(
    case: tuple[tuple[int, ...], SparsityPattern, float, int],
) -> None:
    shape, pattern, density, seed = case
    scores = random_scores(shape, seed)
    groups = group_scores(scores, pattern)
    kept = group_scores(top_k_mask(scores, pattern, density).float(), pattern) > 0
    if not kept.all():
        assert groups[kept].min() >= groups[~kept].max()


@given(shapes, st.sampled_from(SPARSE), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_sizes_count_every_weight_once(
    shape: tuple[int, ...], pattern: SparsityPattern, seed: int
) -> None:
    sizes = group_sizes(torch.Size(shape), pattern)
    groups = group_scores(random_scores(shape, seed), pattern)
    assert sizes.shape == groups.shape
    assert int(sizes.sum()) == torch.Size(shape).numel()
    numbered = torch.arange(groups.numel()).view(groups.shape)
    expanded = expand_groups(numbered, torch.Size(shape), pattern)
    assert torch.bincount(expanded.flatten()).tolist() == sizes.flatten().tolist()


def test_block_rows_are_adjacent_output_channels() -> None:
    scores = torch.zeros(2 * BLOCK_ROWS, 3)
    scores[BLOCK_ROWS, 1] = 1.0
    mask = top_k_mask(scores, SparsityPattern.BLOCK, 1 / 6)
    assert mask[BLOCK_ROWS:, 1].all()
    assert int(mask.sum()) == BLOCK_ROWS


def test_dense_keeps_all() -> None:
    assert top_k_mask(torch.randn(4, 4), SparsityPattern.DENSE, 0.1).all()


@pytest.mark.parametrize("density", [0.0, -0.5, 1.01, float("nan")])
def test_density_out_of_range_is_refused(density: float) -> None:
    with pytest.raises(ValueError, match="density must be above 0"):
        top_k_mask(torch.ones(2, 2), SparsityPattern.UNSTRUCTURED, density)
