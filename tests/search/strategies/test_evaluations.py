"""Strategies on a space of 64 numbers, where everything can be tried, and on cells."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from search.space.moves import Moves
from search.strategies.evaluations import (
    EvaluatedSearch,
    Evolution,
    Judged,
    RandomDraws,
    Strategy,
    objectives,
)
from search.strategies.pareto import ranks

BITS = 6
EVERY = range(1 << BITS)
FITNESS = np.random.default_rng(7).normal(size=len(EVERY))


class Numbers:
    """The numbers below 64; a number is as slow as it has ones, some more than others."""

    def smallest(self) -> int:
        return 0

    def random(self, rng: np.random.Generator) -> int:
        return int(rng.integers(len(EVERY)))

    def mutated(self, genotype: int, rng: np.random.Generator) -> int:
        return genotype ^ (1 << int(rng.integers(BITS)))

    def crossed(self, one: int, other: int, rng: np.random.Generator) -> int:
        mask = int(rng.integers(len(EVERY)))
        return (one & mask) | (other & ~mask)

    def latency_ms(self, genotypes: Sequence[int]) -> np.ndarray:
        return np.array(
            [1.0 + sum((n >> bit & 1) * (3 + bit) for bit in range(BITS)) for n in genotypes]
        )

    def to_dict(self, genotype: int) -> dict[str, Any]:
        return {"number": genotype}

    def from_dict(self, values: dict[str, Any]) -> int:
        return int(values["number"])


MOVES: Moves[int] = Numbers()


class Counted:
    """Judges, and remembers what."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, genotype: int) -> float:
        self.calls.append(genotype)
        return float(FITNESS[genotype])


def search_with(
    strategy: Strategy[int], seed: int = 0, budget_ms: float = 100.0
) -> EvaluatedSearch[int]:
    return EvaluatedSearch(MOVES, strategy, Counted(), budget_ms=budget_ms, seed=seed)


def brute_force(budget_ms: float) -> set[int]:
    """Return the numbers within a budget that no other one within it dominates."""
    every = [
        Judged(genotype=n, fitness=float(FITNESS[n]), latency_ms=float(ms))
        for n, ms in zip(EVERY, MOVES.latency_ms(EVERY), strict=True)
        if ms <= budget_ms
    ]
    found = ranks(objectives(every))
    return {one.genotype for one, rank in zip(every, found, strict=True) if rank == 0}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("budget_ms", [100.0, 15.0])
@pytest.mark.parametrize("make", [Evolution, RandomDraws])
def test_a_whole_space_has_the_front_of_brute_force(
    make: type[Evolution[int]] | type[RandomDraws[int]], budget_ms: float, seed: int
) -> None:
    fitness = Counted()
    search = EvaluatedSearch(MOVES, make(MOVES), fitness, budget_ms=budget_ms, seed=seed)
    search.run(len(EVERY) + 1)
    assert len(set(fitness.calls)) == len(fitness.calls), "nothing is judged twice"
    assert set(fitness.calls) == {n for n in EVERY if MOVES.latency_ms([n])[0] <= budget_ms}
    front = search.front()
    assert {one.genotype for one in front} == brute_force(budget_ms)
    latencies = [one.latency_ms for one in front]
    assert latencies == sorted(latencies)


@pytest.mark.parametrize("cut", [0, 1, 9])
def test_a_search_that_goes_on_ends_like_one_that_never_stopped(cut: int) -> None:
    whole, first, second = (search_with(Evolution(MOVES, population=5)) for _ in range(3))
    whole.run(25)
    first.run(cut)
    second.restore(json.loads(json.dumps(first.state())))
    second.run(25)
    assert second.judged == whole.judged
    other = search_with(Evolution(MOVES, population=5), seed=1)
    other.run(25)
    assert other.judged != whole.judged


@pytest.mark.parametrize(("seed", "budget_ms"), [(1, 100.0), (0, 50.0)])
def test_a_state_of_another_search_is_refused(seed: int, budget_ms: float) -> None:
    search = search_with(Evolution(MOVES))
    search.run(3)
    with pytest.raises(ValueError, match="strategy: the state is of"):
        search_with(Evolution(MOVES), seed, budget_ms).restore(search.state())


def test_a_budget_that_nothing_meets_judges_nothing() -> None:
    search = search_with(Evolution(MOVES), budget_ms=0.5)
    search.run(5)
    assert search.judged == []
    assert search.front() == []


class SmallestIsLarge(Numbers):
    """Numbers whose smallest one is over a budget that others keep, as there may be of devices."""

    def smallest(self) -> int:
        return EVERY[-1]


def test_evolution_starts_at_random_where_the_smallest_is_over_the_budget() -> None:
    moves = SmallestIsLarge()
    search = EvaluatedSearch(moves, Evolution(moves), Counted(), budget_ms=15.0, seed=0)
    search.run(10)
    assert len(search.judged) == 10
    assert all(one.latency_ms <= 15.0 for one in search.judged)


def test_what_is_oldest_is_no_parent() -> None:
    """The population is what was judged last, however good what came before is."""
    judged = [Judged(genotype=n, fitness=100.0 - n, latency_ms=float(n)) for n in range(20)]
    evolution = Evolution(MOVES, population=4, sample=2, crossover=0.0)
    children = evolution.propose(judged, np.random.default_rng(0), 0)
    neighbours = {n ^ (1 << bit) for n in range(16, 20) for bit in range(BITS)}
    assert set(children) <= neighbours
