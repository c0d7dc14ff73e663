import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.operator import SparsityPattern
from search.space.dass_cells import build_graph
from search.space.genotype import NODES
from search.space.sampling import (
    calibration_genotypes,
    held_out_genotypes,
    random_genotype,
    separable_edges,
    with_widths,
)
from tests.search.space.exhaustive import space_operators
from tests.search.space.tables import DIGITS, SMALL, some_genotype

SMALL_SPACE = frozenset(space_operators(4, 3, SMALL))
DEMO_SPACE = frozenset(space_operators(16, 5, DIGITS))


def test_demo_space_is_small_enough_to_profile() -> None:
    assert len(DEMO_SPACE) == 107


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_space_holds_every_operator_of_every_network(seed: int) -> None:
    assert set(build_graph(some_genotype(seed), SMALL).operators) <= SMALL_SPACE


def test_every_operator_of_the_demo_space_occurs_in_some_network() -> None:
    rng = np.random.default_rng(0)
    seen = {
        spec
        for _ in range(400)
        for spec in build_graph(random_genotype(rng, 16, 5), DIGITS).operators
    }
    assert seen == DEMO_SPACE


@given(seed=st.integers(0, 10_000))
def test_random_nodes_read_two_different_inputs(seed: int) -> None:
    genotype = some_genotype(seed)
    for cell in (genotype.normal, genotype.reduce):
        for node in range(NODES):
            assert cell[2 * node][1] != cell[2 * node + 1][1]


def test_random_genotype_repeats_with_its_seed() -> None:
    assert some_genotype(5) == some_genotype(5)
    assert len({some_genotype(seed) for seed in range(30)}) == 30


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_share_of_weighted_operations_is_followed(share: float) -> None:
    genotype = random_genotype(np.random.default_rng(1), 8, 4, weighted=share)
    weighted = [("conv" in name) for name, _ in genotype.normal + genotype.reduce]
    assert all(flag == bool(share) for flag in weighted)


def test_calibration_and_held_out_networks_never_meet() -> None:
    fitted = {g for seed in range(8) for g in calibration_genotypes(4, 3, seed, 8)}
    judged = {g for seed in range(8) for g in held_out_genotypes(4, 3, seed, 8)}
    assert len(fitted) == len(judged) == 64
    assert not fitted & judged


def test_calibration_spreads_from_cheap_to_expensive() -> None:
    graphs = [build_graph(g, DIGITS) for g in calibration_genotypes(16, 5, 0, 6)]
    macs = [sum(spec.macs for spec in graph.operators) for graph in graphs]
    assert max(macs) > 1.5 * min(macs)
    assert macs[0] < macs[-1]


def test_widths_replace_only_widths() -> None:
    genotype = random_genotype(np.random.default_rng(2), 8, 3, weighted=1.0)
    layer = separable_edges(genotype)[0]
    narrow = with_widths(genotype, {layer: 0.5})
    assert [c.layer for c in narrow.layers] == [layer]
    assert narrow.layers[0].pattern is SparsityPattern.CHANNEL
    assert with_widths(narrow, {layer: 1.0}).layers == ()
