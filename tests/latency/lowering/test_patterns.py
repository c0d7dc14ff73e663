import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.lowering.patterns import kept_groups, num_groups, project, random_mask
from latency.operator import BLOCK_ROWS, SparsityPattern

PATTERNS = (SparsityPattern.UNSTRUCTURED, SparsityPattern.BLOCK)
densities = st.floats(0.01, 1.0)


@given(st.sampled_from(PATTERNS), st.tuples(st.integers(1, 17), st.integers(1, 5)), densities)
def test_a_random_mask_keeps_exactly_the_asked_groups(
    pattern: SparsityPattern, shape: tuple[int, int], density: float
) -> None:
    mask = random_mask(pattern, shape, density, np.random.default_rng(0))
    groups = mask[::BLOCK_ROWS] if pattern is SparsityPattern.BLOCK else mask
    assert mask.shape == shape
    assert groups.sum() == kept_groups(pattern, shape, density)
    assert kept_groups(pattern, shape, density) == max(1, round(density * groups.size))


@given(st.integers(1, 13), st.integers(1, 4), st.integers(1, 3), densities, st.integers(0, 99))
def test_rows_of_a_block_share_their_indices(
    rows: int, columns: int, kernel: int, density: float, seed: int
) -> None:
    weights = np.random.default_rng(seed).standard_normal((rows, columns, kernel, kernel))
    mask = project(weights, SparsityPattern.BLOCK, density)
    for start in range(0, rows, BLOCK_ROWS):
        block = mask[start : start + BLOCK_ROWS]
        assert (block == block[0]).all()


@given(st.integers(1, 12), st.integers(1, 12), densities, st.integers(0, 99))
def test_projection_keeps_the_largest_weights(
    rows: int, columns: int, density: float, seed: int
) -> None:
    weights = np.random.default_rng(seed).standard_normal((rows, columns))
    mask = project(weights, SparsityPattern.UNSTRUCTURED, density)
    kept, dropped = np.abs(weights[mask]), np.abs(weights[~mask])
    assert mask.sum() == max(1, round(density * weights.size))
    assert dropped.size == 0 or kept.min() >= dropped.max()


def test_block_projection_judges_a_short_last_block_by_its_mean() -> None:
    weights = np.ones((BLOCK_ROWS + 1, 2))
    weights[BLOCK_ROWS, 0] = 1.5  # a block of one row, larger per weight than the full blocks
    mask = project(weights, SparsityPattern.BLOCK, 0.25)
    assert mask.tolist() == [[False, False]] * BLOCK_ROWS + [[True, False]]


def test_ties_are_broken_the_same_way_each_time_and_the_count_stays_exact() -> None:
    mask = project(np.ones((4, 4)), SparsityPattern.UNSTRUCTURED, 0.5)
    assert mask.sum() == 8
    assert (mask == project(np.ones((4, 4)), SparsityPattern.UNSTRUCTURED, 0.5)).all()


def test_dense_keeps_everything() -> None:
    assert project(np.zeros((3, 2)), SparsityPattern.DENSE, 1.0).all()
    assert num_groups(SparsityPattern.DENSE, (3, 2)) == 6


@pytest.mark.parametrize("density", [0.0, -0.1, 1.1, float("nan")])
def test_a_density_out_of_range_is_refused(density: float) -> None:
    with pytest.raises(ValueError, match="density must be above 0"):
        project(np.ones((2, 2)), SparsityPattern.UNSTRUCTURED, density)


def test_channel_sparsity_has_no_mask() -> None:
    with pytest.raises(ValueError, match="no mask of weights"):
        project(np.ones((2, 2)), SparsityPattern.CHANNEL, 0.5)
