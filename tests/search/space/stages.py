"""Networks of stages for tests: a small space, tables of it, alphas that mean a choice."""

from collections import Counter
from functools import lru_cache

import numpy as np

from latency.estimate.execution import executed_nodes
from latency.library_form import library_form
from latency.operator import Regime, SparsityPattern
from latency.table import LatencyTable
from search.engine.problem import AlphaTables
from search.space.sparsity import PlannedEstimator
from search.space.stage_costs import StageCosts
from search.space.stage_genotype import BlockKind, Stage, StageGenotype
from search.space.stage_networks import build_stages, executed_stage
from search.space.stage_skeleton import StageChoice, StageSkeleton
from search.space.stage_space import StageSpace
from search.space.task import TaskShape
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


def mixed_stages(stem: int) -> StageGenotype:
    """Return a network with a stage of each kind that is searched."""
    return StageGenotype(
        stem=stem,
        stages=(
            Stage(kind=BlockKind.BASIC, width=2 * stem, depth=2, stride=2),
            Stage(kind=BlockKind.INVERTED, width=2 * stem, depth=2, kernel=5, expansion=4),
            Stage(kind=BlockKind.PLAIN, width=4 * stem, depth=1, stride=2),
        ),
        head=8 * stem,
    )


def check_stages_stand_alone(genotype: StageGenotype, task: TaskShape, regime: Regime) -> None:
    """Hold what each stage is executed as by itself against what it is within the network."""
    graph = build_stages(genotype, task)
    whole = library_form(graph).nodes if regime is Regime.LIBRARY else executed_nodes(graph)
    channels, size = genotype.stem, task.image_size
    for index, stage in enumerate(genotype.stages):
        found = [node.spec for node in whole if node.name.startswith(f"stages.{index}.")]
        alone = executed_stage(stage, channels, size, regime)
        assert Counter(found) == Counter(node.spec for node in alone)
        channels, size = stage.width, -(-size // stage.stride)


def chosen_by(alphas: AlphaTables) -> StageChoice:
    """Return the best column of each row."""
    best = {name: tuple(table.argmax(axis=1).tolist()) for name, table in alphas.items()}
    return StageChoice(**best)
