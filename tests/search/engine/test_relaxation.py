"""Mixed paths: what their coefficients derive, what they cost, and how they become zero."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from search.engine.recipes import Relaxation
from search.engine.relaxation import MixedPaths, logits_of, mixture_of, start_paths
from search.engine.search_run import SearchRun
from search.finalize.derive import derive_genotype
from search.objective.latency_term import ExpectedLatency
from search.problems.choice import problem_of
from search.space.primitives import OPERATIONS
from search.supernet.architecture import EDGES, NONE, edge_slices
from tests.search.engine.small import RECIPE, small_loop, small_request
from tests.search.objective.test_latency_term import COSTS
from tests.search.space.tables import SMALL

LATENCY = ExpectedLatency(COSTS)
MIXED = replace(RECIPE, relaxation=Relaxation.MIXED_PATH)


def coefficients(seed: int, zeros: float = 0.0) -> list[Tensor]:
    """Return tables of coefficients of both signs, a share of which is zero."""
    generator = torch.Generator().manual_seed(seed)
    tables = [0.3 * torch.randn(EDGES, len(OPERATIONS), generator=generator) for _ in range(2)]
    for table in tables:
        table[torch.rand(table.shape, generator=generator) < zeros] = 0.0
        table[:, NONE] = 0.0
    return tables


def strongest(table: Tensor) -> list[tuple[str, int]]:
    """Return the edges of a cell by the rule of the module, written down anew."""
    found = []
    for edges in edge_slices():
        rows = [[abs(value) for value in row] for row in table[edges].tolist()]
        best = sorted(range(len(rows)), key=lambda source: -max(rows[source]))[:2]
        for source in sorted(best):
            row = rows[source]
            name = OPERATIONS[row.index(max(row))] if max(row) > 0.0 else "skip_connect"
            found.append((name, source))
    return found


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.5, 0.9, 1.0]))
@settings(max_examples=60, deadline=None)
def test_largest_coefficients_are_derived(seed: int, zeros: float) -> None:
    tables = coefficients(seed, zeros)
    logits = logits_of(tables, Relaxation.MIXED_PATH)
    genotype = derive_genotype(*(t.double().numpy() for t in logits), channels=4, cells=3)
    assert list(genotype.normal) == strongest(tables[0])
    assert list(genotype.reduce) == strongest(tables[1])


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.3]))
@settings(max_examples=20, deadline=None)
def test_expected_latency_goes_to_that_of_the_derived_network(seed: int, zeros: float) -> None:
    logits = logits_of([t.double() for t in coefficients(seed, zeros)], Relaxation.MIXED_PATH)
    assert float(LATENCY(logits, 1e-7)) == pytest.approx(LATENCY.derived_ms(logits), rel=1e-9)


def test_probabilities_are_sizes_and_none_has_the_rest() -> None:
    table = coefficients(3)[0].double()
    chance = logits_of([table], Relaxation.MIXED_PATH)[0].exp()
    sizes = table.abs()
    whole = float(sizes.sum(dim=1).max())
    assert torch.allclose(chance[:, NONE + 1 :], sizes[:, NONE + 1 :] / whole, atol=0.002)
    assert torch.allclose(chance.sum(dim=1), torch.ones(EDGES, dtype=torch.float64))
    assert (chance > 0.0).all()


def test_coefficients_of_zero_feel_no_price() -> None:
    tables = [t.double().requires_grad_() for t in coefficients(4, 0.5)]
    latency = LATENCY(logits_of(tables, Relaxation.MIXED_PATH), 0.7)
    for table, gradient in zip(tables, torch.autograd.grad(latency, tables), strict=True):
        assert torch.isfinite(gradient).all()
        assert not gradient[table == 0.0].any()
        assert gradient.any()


def test_softmax_is_untouched() -> None:
    tables = coefficients(5)
    assert all(a is b for a, b in zip(tables, logits_of(tables, Relaxation.SOFTMAX), strict=True))
    (mixture, _) = mixture_of(tables, Relaxation.SOFTMAX)
    assert torch.equal(mixture, torch.softmax(tables[0], dim=1))


def test_paths_start_where_the_softmax_does() -> None:
    tables = [torch.zeros(EDGES, len(OPERATIONS)) for _ in range(2)]
    start_paths(tables)
    found = mixture_of(tables, Relaxation.MIXED_PATH)[0]
    wanted = mixture_of([torch.zeros_like(tables[0])], Relaxation.SOFTMAX)[0]
    assert torch.equal(found[:, NONE + 1 :], wanted[:, NONE + 1 :])
    assert not found[:, NONE].any()


def test_the_more_is_taken_off_the_cheaper_is_what_is_left() -> None:
    """The mean over some starts, since a single coefficient may be far ahead of all others."""
    latencies = []
    for l1 in (0.0, 1.0, 2.0, 4.0, 8.0):
        found = []
        for seed in range(20):
            tables = coefficients(seed)
            MixedPaths(replace(MIXED, path_l1=l1, path_l2=0.0), tables, LATENCY).step()
            found.append(LATENCY.derived_ms(logits_of(tables, Relaxation.MIXED_PATH)))
        latencies.append(sum(found) / len(found))
    assert latencies == sorted(latencies, reverse=True)
    assert latencies[-1] < 0.9 * latencies[0]


def test_without_prices_all_operations_lose_alike() -> None:
    tables = coefficients(6)
    before = [table.clone() for table in tables]
    MixedPaths(replace(MIXED, path_l1=1.0, path_l2=0.0), tables, None).step()
    for table, old in zip(tables, before, strict=True):
        wanted = (old.abs() - MIXED.alpha_lr).clamp_min(0.0)
        assert torch.allclose(table.abs(), wanted)


def test_search_ends_with_paths_that_are_exactly_closed(tmp_path: Path) -> None:
    recipe = replace(MIXED, path_l1=1.0, path_l2=0.5)
    loop = small_loop(small_request(tmp_path), recipe)
    examples = loop.data.alphas
    for _ in range(20):
        loop._alpha_step(examples.images[:8], examples.labels[:8], 0.0)
    for table in loop.run.alphas.parameters():
        closed = table[:, NONE + 1 :] == 0.0
        assert 0.3 < float(closed.float().mean()) <= 1.0
        assert not table[:, NONE].any()


def test_only_cells_have_mixed_paths(tmp_path: Path) -> None:
    request = small_request(tmp_path, space="stages", channels=8)
    with pytest.raises(ValueError, match="only 'dass-cells' has mixed paths, not 'stages'"):
        SearchRun(problem_of(request, SMALL), MIXED)
