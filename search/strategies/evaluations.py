"""Strategies that judge one genotype after the other: evolution, and random draws as its rival.

Evolution is regularised (Real et al., arXiv 1802.01548): the population is what was judged last, so
the oldest dies, however good. Which of two is better is decided as in NSGA-II (Deb et al., 2002): by
rank, then by crowding, over fitness and latency.

What comes next depends on the seed and on what was judged so far, and on nothing else. So the
record of what was judged is all the state there is, and a search that goes on from it ends as if it
had never stopped.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol

import numpy as np

from search.space.moves import G, Moves
from search.strategies.pareto import Floats, crowding_by_rank, ranks

_BATCH = 32  # genotypes that are proposed and priced at once
_ATTEMPTS = 20  # batches without anything new within the budget, after which a strategy has ended


@dataclass(frozen=True, kw_only=True)
class Judged(Generic[G]):
    """A genotype that was judged."""

    genotype: G
    fitness: float  # more is better
    latency_ms: float  # upper end of the predicted interval


class Strategy(Protocol[G]):
    """Says what to judge next."""

    def propose(
        self, judged: Sequence[Judged[G]], rng: np.random.Generator, attempt: int
    ) -> list[G]:
        """Return genotypes, the best first; some may be known or over the budget.

        Args:
            judged: all that were judged so far, the oldest first.
            rng: source of randomness.
            attempt: how many proposals for the same place had nothing new within the budget.
        """
        ...


class RandomDraws(Generic[G]):
    """Draws genotypes whatever was judged so far."""

    def __init__(self, moves: Moves[G]) -> None:
        self._moves = moves

    def propose(
        self,
        judged: Sequence[Judged[G]],  # noqa: ARG002  (every strategy is asked in the same way)
        rng: np.random.Generator,
        attempt: int,  # noqa: ARG002
    ) -> list[G]:
        """Return genotypes drawn at random."""
        return [self._moves.random(rng) for _ in range(_BATCH)]


class Evolution(Generic[G]):
    """Starts from the smallest genotype and random ones; then children of tournaments.

    Of several devices the smallest one may be over a budget where others are not: then it starts
    from a random one.

    Args:
        moves: of the space.
        population: how many of the last judged can be parents.
        sample: how many of them meet in a tournament.
        crossover: share of children with two parents.
    """

    def __init__(
        self, moves: Moves[G], *, population: int = 20, sample: int = 5, crossover: float = 0.3
    ) -> None:
        self._moves = moves
        self._population, self._sample, self._crossover = population, sample, crossover

    def propose(
        self, judged: Sequence[Judged[G]], rng: np.random.Generator, attempt: int
    ) -> list[G]:
        """Return the start, or children; attempts that found nothing new go further away."""
        if not judged and attempt == 0:
            return [self._moves.smallest()]
        if not judged or (len(judged) < self._population and attempt == 0):
            return [self._moves.random(rng) for _ in range(_BATCH)]
        parents = _best_first(judged[-self._population :])
        return [self._child(parents, rng, 1 + attempt) for _ in range(_BATCH)]

    def _child(self, parents: Sequence[G], rng: np.random.Generator, mutations: int) -> G:
        child = self._winner(parents, rng)
        if rng.random() < self._crossover:
            child = self._moves.crossed(child, self._winner(parents, rng), rng)
        for _ in range(mutations):
            child = self._moves.mutated(child, rng)
        return child

    def _winner(self, parents: Sequence[G], rng: np.random.Generator) -> G:
        return parents[int(rng.integers(len(parents), size=self._sample).min())]


class EvaluatedSearch(Generic[G]):
    """A search that judges genotypes within a budget, never one of them twice.

    Args:
        moves: of the space.
        strategy: what to judge next.
        fitness: judges a genotype; more is better.
        budget_ms: what the upper end of the predicted interval may be.
        seed: decides everything that is drawn.
    """

    def __init__(
        self,
        moves: Moves[G],
        strategy: Strategy[G],
        fitness: Callable[[G], float],
        *,
        budget_ms: float,
        seed: int,
    ) -> None:
        self.judged: list[Judged[G]] = []
        self._moves, self._strategy, self._fitness = moves, strategy, fitness
        self._budget_ms, self._seed = budget_ms, seed

    def run(self, evaluations: int, after: Callable[[], None] = lambda: None) -> None:
        """Judge until there are so many, or nothing new is found within the budget.

        Args:
            evaluations: how many, with those of before.
            after: called after each, such as to save the state.
        """
        while len(self.judged) < evaluations and self.step():
            after()

    def step(self) -> bool:
        """Judge one more; return whether there was one."""
        rng = np.random.default_rng([self._seed, len(self.judged)])
        seen = {one.genotype for one in self.judged}
        for attempt in range(_ATTEMPTS):
            proposed = self._strategy.propose(self.judged, rng, attempt)
            fresh = [genotype for genotype in dict.fromkeys(proposed) if genotype not in seen]
            if not fresh:
                continue
            latency_ms = self._moves.latency_ms(fresh)
            within = np.flatnonzero(latency_ms <= self._budget_ms)
            if len(within):
                genotype = fresh[within[0]]
                self.judged.append(
                    Judged(
                        genotype=genotype,
                        fitness=self._fitness(genotype),
                        latency_ms=float(latency_ms[within[0]]),
                    )
                )
                return True
        return False

    def front(self) -> list[Judged[G]]:
        """Return what nothing that was judged dominates, the fastest first."""
        if not self.judged:
            return []
        best = np.flatnonzero(ranks(objectives(self.judged)) == 0)
        return sorted((self.judged[index] for index in best), key=lambda one: one.latency_ms)

    def state(self) -> dict[str, Any]:
        """Return plain JSON values, from which `restore` goes on."""
        return {
            "seed": self._seed,
            "budget_ms": self._budget_ms,
            "judged": [
                {
                    "genotype": self._moves.to_dict(one.genotype),
                    "fitness": one.fitness,
                    "latency_ms": one.latency_ms,
                }
                for one in self.judged
            ],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`.

        Raises:
            ValueError: it is of another seed or budget, or a genotype in it is malformed.
        """
        for name, own in (("seed", self._seed), ("budget_ms", self._budget_ms)):
            if state[name] != own:
                raise ValueError(f"strategy: the state is of {name} {state[name]}, not of {own}")
        self.judged = [
            Judged(
                genotype=self._moves.from_dict(one["genotype"]),
                fitness=one["fitness"],
                latency_ms=one["latency_ms"],
            )
            for one in state["judged"]
        ]


def objectives(judged: Sequence[Judged[G]]) -> Floats:
    """Return (N, 2), to be minimised: negative fitness and latency."""
    return np.array([[-one.fitness, one.latency_ms] for one in judged])


def _best_first(judged: Sequence[Judged[G]]) -> list[G]:
    """Return genotypes by rank, those of one rank by how lonely they are."""
    points = objectives(judged)
    of_ranks = ranks(points)
    order = np.lexsort((-crowding_by_rank(points, of_ranks), of_ranks))
    return [judged[index].genotype for index in order.tolist()]
