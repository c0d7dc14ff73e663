"""Mutation, crossover and random draws of networks of stages; fair turns; genotypes read back."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.operator import SparsityPattern
from search.space.genotype import LayerChoice
from search.space.stage_genotype import BlockKind, Stage, StageGenotype
from search.space.stage_moves import StageMoves, crossed_stages, fair_stages, mutated_stages
from search.space.stage_networks import build_stages
from search.space.stage_skeleton import StageChoice
from tests.search.space import stages

SKELETON = stages.SPACE.skeleton
MOVES = StageMoves(stages.SPACE, stages.table_of("library"))
SEEDS = st.integers(0, 10_000)


def some_stages(seed: int) -> StageGenotype:
    return MOVES.random(np.random.default_rng(seed))


def rows_of(genotype: StageGenotype) -> list[int]:
    """Return the column of each row of all tables; ValueError where it is not of the skeleton."""
    choice = SKELETON.choice(genotype)
    return [column for field in fields(StageChoice) for column in getattr(choice, field.name)]


@settings(max_examples=100, deadline=None)
@given(seed=SEEDS)
def test_a_choice_is_read_back_from_its_network(seed: int) -> None:
    genotype = some_stages(seed)
    assert SKELETON.genotype(SKELETON.choice(genotype)) == genotype
    sparse = LayerChoice(layer="stages.1", pattern=SparsityPattern.BLOCK, density=0.3)
    assert SKELETON.choice(genotype.with_layers((sparse,))) == SKELETON.choice(genotype)


@settings(max_examples=100, deadline=None)
@given(seed=SEEDS)
def test_a_mutation_changes_one_row(seed: int) -> None:
    parent = some_stages(seed)
    child = mutated_stages(SKELETON, parent, np.random.default_rng(seed))
    pairs = zip(rows_of(parent), rows_of(child), strict=True)
    assert sum(before != after for before, after in pairs) == 1


@settings(max_examples=100, deadline=None)
@given(seed=SEEDS)
def test_every_row_of_a_child_is_from_a_parent(seed: int) -> None:
    one, other = some_stages(seed), some_stages(seed + 1)
    child = crossed_stages(SKELETON, one, other, np.random.default_rng(seed))
    for own, first, second in zip(*map(rows_of, (child, one, other)), strict=True):
        assert own in (first, second)


def test_every_neighbour_is_reached() -> None:
    parent, rng = some_stages(0), np.random.default_rng(0)
    found = {mutated_stages(SKELETON, parent, rng) for _ in range(2000)}
    assert len(found) == sum(rows * (count - 1) for rows, count in SKELETON.tables.values())


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS)
def test_a_fair_turn_has_all_options_of_a_row_equally_often(seed: int) -> None:
    networks = fair_stages(np.random.default_rng(seed), SKELETON)
    for row, counts in enumerate(
        np.bincount(column, minlength=1) for column in np.transpose([rows_of(n) for n in networks])
    ):
        assert len(set(counts.tolist())) == 1, row
        assert counts[0] * len(counts) == len(networks)


def test_random_networks_are_cheap_and_expensive_and_none_is_below_the_smallest() -> None:
    rng = np.random.default_rng(0)
    found = [MOVES.random(rng) for _ in range(60)]
    latencies = MOVES.latency_ms(found)
    assert max(latencies) > 2 * min(latencies)
    assert MOVES.latency_ms([MOVES.smallest()])[0] <= min(latencies)


def test_latency_is_the_upper_end_of_the_prediction_as_sparse_as_planned() -> None:
    genotype = some_stages(4)
    estimator = stages.estimator_of("library")
    wanted = estimator.predict(build_stages(genotype, stages.SPACE.task)).high_ms
    assert MOVES.latency_ms([genotype])[0] == pytest.approx(wanted, rel=1e-9)
    assert MOVES.from_dict(MOVES.to_dict(genotype)) == genotype


PLAIN = Stage(kind=BlockKind.PLAIN, width=4, depth=1)


@pytest.mark.parametrize(
    "other",
    [
        replace(some_stages(0), head=3),
        replace(some_stages(0), stem=8),
        replace(some_stages(0), stages=(*some_stages(0).stages, PLAIN)),
        replace(
            some_stages(0), stages=(PLAIN, *some_stages(0).stages[1:-1], replace(PLAIN, depth=9))
        ),
        replace(some_stages(0), stages=(replace(PLAIN, width=5), *some_stages(0).stages[1:])),
    ],
)
def test_what_the_alphas_cannot_stand_for_is_refused(other: StageGenotype) -> None:
    with pytest.raises(ValueError, match="stages: no network of 3 stages on a stem of 4"):
        SKELETON.choice(other)
