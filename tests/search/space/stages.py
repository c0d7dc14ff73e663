"""Networks of stages for tests: a small space, tables of it, alphas that mean a choice."""

from functools import lru_cache

import numpy as np

from latency.operator import SparsityPattern
from latency.table import LatencyTable
from search.engine.problem import AlphaTables
from search.space.sparsity import PlannedEstimator
from search.space.stage_costs import StageCosts
from search.space.stage_skeleton import StageChoice, StageSkeleton
from search.space.stage_space import StageSpace
from tests.search.space.tables import SMALL, sparse_table

SPACE = StageSpace(width=4, task=SMALL, pattern=SparsityPattern.BLOCK, density=0.2)
# How many times what a stock operator costs a dense one of the library does: at 5 no network is
# fastest in the library, at 0.8 every one, in between some.
FACTORS = {"stock": 5.0, "library": 0.8, "both": 2.6}


@lru_cache(maxsize=8)
def table_of(name: str) -> LatencyTable:
    """Return a table of SPACE."""
    return sparse_table(SPACE, FACTORS[name])


@lru_cache(maxsize=8)
def estimator_of(name: str) -> PlannedEstimator:
    """Return the estimator of a table of SPACE."""
    return SPACE.estimator(table_of(name))


@lru_cache(maxsize=8)
def costs_of(name: str) -> StageCosts:
    """Return the costs of SPACE on a table."""
    return StageCosts(estimator_of(name), SPACE.skeleton)


def random_alphas(
    seed: int, scale: float = 1.0, skeleton: StageSkeleton = SPACE.skeleton
) -> AlphaTables:
    """Return alphas that a seed repeats."""
    rng = np.random.default_rng(seed)
    return {name: scale * rng.normal(size=shape) for name, shape in skeleton.tables.items()}


def chosen_by(alphas: AlphaTables) -> StageChoice:
    """Return the best column of each row."""
    best = {name: tuple(table.argmax(axis=1).tolist()) for name, table in alphas.items()}
    return StageChoice(**best)
