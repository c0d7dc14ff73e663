"""Networks of both spaces whose layers are planned by the prices of a table, under a budget."""

from functools import lru_cache, partial
from typing import NamedTuple

from latency.estimate.lookup_table import TableEstimator
from search.finalize.choose_layers import choose_layers
from search.finalize.densities import SPARSE_OPTIONS
from search.finalize.run import Goal
from search.space.networks import AnyGenotype, network_graph
from tests.search.finalize.test_train import GOAL
from tests.search.space.stages import mixed_stages
from tests.search.space.tables import SMALL, exact_table, some_genotype

SHARE = 0.7  # of what the network takes when it is dense, which the budget leaves
GENOTYPES: dict[str, AnyGenotype] = {"dass-cells": some_genotype(8), "stages": mixed_stages(4)}


class Planned(NamedTuple):
    """A network and how it is to be trained."""

    genotype: AnyGenotype
    goal: Goal
    budget_ms: float


@lru_cache(maxsize=2)
def exact_estimator(space: str) -> TableEstimator:
    """Return what prices the network of a space whatever its layers are, for the library best."""
    return TableEstimator(exact_table(network_graph(GENOTYPES[space], SMALL), 0.8))


@lru_cache(maxsize=2)
def planned(space: str) -> Planned:
    """Return the network of a space."""
    genotype, estimator = GENOTYPES[space], exact_estimator(space)
    graph = network_graph(genotype, SMALL)
    budget_ms = SHARE * estimator.predict(graph).high_ms
    plan = partial(
        choose_layers,
        graph=graph,
        estimator=estimator,
        budget_ms=budget_ms,
        options=SPARSE_OPTIONS,
    )
    goal = Goal(density=GOAL.density, pattern=GOAL.pattern, seed=GOAL.seed, plan=plan)
    return Planned(genotype, goal, budget_ms)
