import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.space.cell_moves import CellMoves, crossed, fair_cells, mutated
from search.space.dass_cells import build_graph
from search.space.genotype import Genotype
from search.space.sampling import CHOICES
from search.strategies.evaluations import EvaluatedSearch, Evolution, RandomDraws, objectives
from search.strategies.pareto import ranks
from tests.search.space.tables import SMALL, formula_table, planned_space, some_genotype

SPACE = planned_space()
TABLE = formula_table(4, 3, SMALL)
ESTIMATOR = SPACE.estimator(TABLE)
MOVES = CellMoves(SPACE, TABLE)


def plain_genotype(seed: int) -> Genotype:
    return some_genotype(seed).with_layers(())


def check_genotype(genotype: Genotype) -> None:
    """It is of the space: two different inputs in order at each node, at full width."""
    assert Genotype.from_dict(genotype.to_dict()) == genotype
    assert (genotype.channels, genotype.cells, genotype.layers) == (4, 3, ())
    for edges in (genotype.normal, genotype.reduce):
        for first, second in zip(edges[::2], edges[1::2], strict=True):
            assert first[1] < second[1]


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_mutation_changes_one_edge(seed: int) -> None:
    parent = plain_genotype(seed)
    child = mutated(parent, np.random.default_rng(seed))
    check_genotype(child)
    changed = [
        (set(before[node : node + 2]), set(after[node : node + 2]))
        for before, after in ((parent.normal, child.normal), (parent.reduce, child.reduce))
        for node in range(0, 8, 2)
        if before[node : node + 2] != after[node : node + 2]
    ]
    assert len(changed) == 1
    ((before, after),) = changed
    assert len(before - after) == len(after - before) == 1
    (old,), (new,) = before - after, after - before
    assert (old[0] == new[0]) != (old[1] == new[1]), "the operation or the input, not both"


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_every_node_of_a_child_is_from_a_parent(seed: int) -> None:
    one, other = plain_genotype(seed), plain_genotype(seed + 1)
    child = crossed(one, other, np.random.default_rng(seed))
    check_genotype(child)
    for kind in ("normal", "reduce"):
        for node in range(0, 8, 2):
            pairs = [getattr(parent, kind)[node : node + 2] for parent in (one, other)]
            assert getattr(child, kind)[node : node + 2] in pairs


def test_all_edges_and_both_kinds_of_mutation_are_reached() -> None:
    parent = plain_genotype(0)
    rng = np.random.default_rng(0)
    children = [mutated(parent, rng) for _ in range(3000)]
    found = {child.normal + child.reduce for child in children}
    # 16 edges with 6 other operations each, and per cell 2, 4 and 6 other inputs.
    assert len(found) == 16 * 6 + 2 * (2 + 4 + 6)


def test_random_genotypes_are_of_the_space_cheap_and_expensive() -> None:
    rng = np.random.default_rng(0)
    found = [MOVES.random(rng) for _ in range(50)]
    for genotype in found:
        check_genotype(genotype)
    latencies = MOVES.latency_ms(found)
    assert max(latencies) > 2 * min(latencies)


def test_latency_is_the_upper_end_of_the_prediction() -> None:
    genotype = plain_genotype(4)
    wanted = ESTIMATOR.predict(build_graph(genotype, SMALL)).high_ms
    assert MOVES.latency_ms([genotype])[0] == pytest.approx(wanted, rel=1e-9)


def convolutions(genotype: Genotype) -> float:
    """A fitness that more and larger windows make better."""
    names = [name for name, _ in genotype.normal + genotype.reduce]
    return float(sum(("conv" in name) + ("5x5" in name) for name in names))


def test_evolution_finds_more_of_the_front_than_random_draws_within_a_budget() -> None:
    budget_ms = 2.0 * float(MOVES.latency_ms([MOVES.smallest()])[0])
    found = []
    for strategy in (Evolution(MOVES), RandomDraws(MOVES)):
        search = EvaluatedSearch(MOVES, strategy, convolutions, budget_ms=budget_ms, seed=0)
        search.run(50)
        assert len(search.judged) == 50
        for one in search.judged:
            check_genotype(one.genotype)
            assert one.latency_ms <= budget_ms
        found.append(search.judged)
    evolved, drawn = found
    front = ranks(objectives([*evolved, *drawn])) == 0
    assert front[: len(evolved)].sum() > front[len(evolved) :].sum()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_fair_turn_has_every_operation_once_in_every_place(seed: int) -> None:
    networks = fair_cells(np.random.default_rng(seed), 4, 3)
    for genotype in networks:
        check_genotype(genotype)
    places = zip(*(genotype.normal + genotype.reduce for genotype in networks), strict=True)
    for place in places:
        assert sorted(operation for operation, _ in place) == sorted(CHOICES)
