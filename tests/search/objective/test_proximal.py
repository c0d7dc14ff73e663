"""The proximal map of mixed paths minimises what it says, and reaches zero exactly."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from search.objective.proximal import shrink_paths

SHAPE = (5, 8)  # edges, operations


def drawn(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    coefficients = torch.randn(SHAPE, generator=generator, dtype=torch.float64)
    return coefficients, torch.rand(SHAPE, generator=generator, dtype=torch.float64)


@given(st.integers(0, 10_000), st.floats(0.0, 2.0))
@settings(max_examples=60, deadline=None)
def test_no_other_coefficients_have_a_smaller_objective(seed: int, l2: float) -> None:
    """The objective is convex, so what no small move improves nothing improves."""
    start, l1 = drawn(seed)

    def objective(x: Tensor) -> float:
        near = 0.5 * (x - start).square().sum()
        return float(near + (l1 * x.abs()).sum() + l2 * x.norm(dim=1).sum())

    found = shrink_paths(start, l1, l2)
    best = objective(found)
    generator = torch.Generator().manual_seed(seed)
    for scale in (1e-4, 1e-2, 1.0):
        for _ in range(5):
            move = scale * torch.randn(SHAPE, generator=generator, dtype=torch.float64)
            assert objective(found + move) >= best
            assert objective(found + move * (found != 0)) >= best


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_operations_and_whole_edges_become_exactly_zero(seed: int) -> None:
    start, l1 = drawn(seed)
    single = shrink_paths(start, l1, 0.0)
    assert torch.equal(single == 0.0, start.abs() <= l1)
    whole = shrink_paths(start, torch.zeros(SHAPE, dtype=torch.float64), 3.0)
    assert torch.equal((whole == 0.0).all(dim=1), start.norm(dim=1) <= 3.0)
    assert torch.equal((whole == 0.0).any(dim=1), start.norm(dim=1) <= 3.0)


def test_nothing_to_take_off_changes_nothing() -> None:
    start, _ = drawn(0)
    start[1] = 0.0
    assert torch.equal(shrink_paths(start, torch.zeros(SHAPE, dtype=torch.float64), 0.0), start)
