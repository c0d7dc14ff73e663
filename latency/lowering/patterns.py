"""Masks: which weights a sparsity pattern keeps. True is kept.

Counts are exact: a pattern of g groups at density d keeps round(d * g) groups, and at least one.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from latency.operator import BLOCK_ROWS, SparsityPattern

Mask = npt.NDArray[np.bool_]


def num_groups(pattern: SparsityPattern, shape: Sequence[int]) -> int:
    """Return how many groups of weights live or die together in a weight of `shape`."""
    return int(np.prod(_group_shape(pattern, shape)))


def kept_groups(pattern: SparsityPattern, shape: Sequence[int], density: float) -> int:
    """Return how many groups are kept at `density`.

    Raises:
        ValueError: density is not above 0 and at most 1, or the pattern is not one of weights.
    """
    if not 0.0 < density <= 1.0:
        raise ValueError(f"pattern: density must be above 0 and at most 1, got {density}")
    groups = num_groups(pattern, shape)
    return groups if pattern is SparsityPattern.DENSE else max(1, round(density * groups))


def random_mask(
    pattern: SparsityPattern, shape: Sequence[int], density: float, rng: np.random.Generator
) -> Mask:
    """Return a mask of `shape` (out, in, ...) with randomly chosen groups."""
    return _mask_of(pattern, shape, density, rng.random(_group_shape(pattern, shape)))


def project(weights: npt.NDArray[np.floating], pattern: SparsityPattern, density: float) -> Mask:
    """Return the mask that keeps the groups with the largest mean square.

    Args:
        weights: (out, in, ...) of a convolution or linear layer.
        pattern: dense, unstructured, or block (BLOCK_ROWS adjacent outputs share their inputs).
        density: fraction of groups that are kept.
    """
    square = np.square(weights, dtype=np.float64)
    if pattern is SparsityPattern.BLOCK:
        starts = np.arange(0, weights.shape[0], BLOCK_ROWS)
        rows = np.diff(np.append(starts, weights.shape[0]))
        totals = np.add.reduceat(square, starts, axis=0)
        square = totals / rows.reshape(-1, *[1] * (weights.ndim - 1))
    return _mask_of(pattern, weights.shape, density, square)


def _mask_of(
    pattern: SparsityPattern,
    shape: Sequence[int],
    density: float,
    scores: npt.NDArray[np.float64],
) -> Mask:
    kept = kept_groups(pattern, shape, density)
    # A stable sort breaks ties by position, so the count is exact and the result repeatable.
    order = np.argsort(-scores, axis=None, kind="stable")
    chosen = np.zeros(scores.size, dtype=np.bool_)
    chosen[order[:kept]] = True
    groups: Mask = chosen.reshape(scores.shape)
    if pattern is SparsityPattern.BLOCK:
        groups = np.repeat(groups, BLOCK_ROWS, axis=0)[: shape[0]]
    return groups


def _group_shape(pattern: SparsityPattern, shape: Sequence[int]) -> tuple[int, ...]:
    if pattern in (SparsityPattern.CHANNEL, SparsityPattern.POSITIONS):
        raise ValueError(f"pattern: {pattern.value} sparsity has no mask of weights")
    if pattern is SparsityPattern.BLOCK:
        return (-(-shape[0] // BLOCK_ROWS), *shape[1:])
    return tuple(shape)
