import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.finalize.derive import derive_genotype, log_probabilities
from search.space.cell_interactions import MIXED_EDGES
from search.space.genotype import NODES
from search.space.primitives import OPERATIONS
from tests.search.space.tables import some_genotype


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_sharp_alphas_give_back_their_genotype(seed: int) -> None:
    genotype = some_genotype(seed).with_layers(())
    alphas = {}
    for kind in ("normal", "reduce"):
        table = np.zeros((14, 8))
        table[:, OPERATIONS.index("none")] = 5.0
        for index, (operation, source) in enumerate(getattr(genotype, kind)):
            table[MIXED_EDGES.index((index // 2, source)), OPERATIONS.index(operation)] = 9.0
        alphas[kind] = table
    assert derive_genotype(**alphas, channels=4, cells=3) == genotype


def test_none_is_never_chosen_but_weakens_its_edge() -> None:
    table = np.zeros((14, 8))
    # Node 1 has inputs 0, 1 and 2; a strong `none` on input 0 leaves the other two.
    table[MIXED_EDGES.index((1, 0)), OPERATIONS.index("none")] = 8.0
    table[:, OPERATIONS.index("max_pool_3x3")] += 0.1
    genotype = derive_genotype(table, table, channels=4, cells=3)
    assert [source for _, source in genotype.normal[2:4]] == [1, 2]
    assert {name for name, _ in genotype.normal} == {"max_pool_3x3"}


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_nodes_read_two_different_inputs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    genotype = derive_genotype(*rng.normal(size=(2, 14, 8)), channels=4, cells=3)
    for node in range(NODES):
        assert genotype.normal[2 * node][1] < genotype.normal[2 * node + 1][1]


def test_probabilities_of_an_edge_sum_to_one() -> None:
    scores = log_probabilities(np.random.default_rng(0).normal(size=(14, 8)) * 400.0)
    assert np.exp(scores).sum(axis=1) == pytest.approx(np.ones(14))


@pytest.mark.parametrize("table", [np.zeros((8, 14)), np.full((14, 8), np.nan)])
def test_bad_alphas_are_refused(table: np.ndarray) -> None:
    with pytest.raises(ValueError, match="architecture parameters"):
        derive_genotype(table, table, channels=4, cells=3)
