"""StageMoves: mutation, crossover and random draws of networks of stages.

A network is one option of every row of the tables of its skeleton (`StageChoice`), and moves change
or mix rows.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from latency.table import LatencyTable
from search.space.stage_extremes import smallest_stages
from search.space.stage_genotype import StageGenotype
from search.space.stage_skeleton import StageChoice, StageSkeleton
from search.space.stage_space import StageSpace

Columns = dict[str, list[int]]  # one per row, by name of the table


class StageMoves:
    """The networks of a skeleton, priced by the table of a target."""

    def __init__(self, space: StageSpace, table: LatencyTable) -> None:
        self._skeleton = space.skeleton
        self._predictor = space.predictor(table, space.sparsity)
        self._smallest, _ = smallest_stages(space.estimator(table), self._skeleton)

    def smallest(self) -> StageGenotype:
        """Return the cheapest genotype."""
        return self._smallest

    def random(self, rng: np.random.Generator) -> StageGenotype:
        """Return a genotype drawn at random, of any size: how deep and wide it is is drawn first."""
        large = float(rng.random())
        tables = self._skeleton.tables
        # Options are alternatives; columns of all other tables go from small to large.
        columns = {
            name: rng.integers(count, size=rows).tolist()
            if name == "options"
            else rng.binomial(count - 1, large, size=rows).tolist()
            for name, (rows, count) in tables.items()
        }
        return _genotype(self._skeleton, columns)

    def mutated(self, genotype: StageGenotype, rng: np.random.Generator) -> StageGenotype:
        """Return the genotype with another option of one row."""
        return mutated_stages(self._skeleton, genotype, rng)

    def crossed(
        self, one: StageGenotype, other: StageGenotype, rng: np.random.Generator
    ) -> StageGenotype:
        """Return a genotype each row of which is from one of two."""
        return crossed_stages(self._skeleton, one, other, rng)

    def latency_ms(self, genotypes: Sequence[StageGenotype]) -> npt.NDArray[np.float64]:
        """Return (N,): the upper end of the predicted 90 % interval of each, milliseconds."""
        return self._predictor.predict(genotypes).high_ms

    def to_dict(self, genotype: StageGenotype) -> dict[str, Any]:
        """Return plain JSON values."""
        return genotype.to_dict()

    def from_dict(self, values: dict[str, Any]) -> StageGenotype:
        """Build from plain JSON values; ValueError says what is wrong."""
        return StageGenotype.from_dict(values)


def mutated_stages(
    skeleton: StageSkeleton, genotype: StageGenotype, rng: np.random.Generator
) -> StageGenotype:
    """Return the genotype with another option of one row, each row as often as any other."""
    columns = _columns(skeleton, genotype)
    rows = [(name, row) for name, found in columns.items() for row in range(len(found))]
    name, row = rows[rng.integers(len(rows))]
    _, count = skeleton.tables[name]
    columns[name][row] = (columns[name][row] + int(rng.integers(1, count))) % count
    return _genotype(skeleton, columns)


def crossed_stages(
    skeleton: StageSkeleton, one: StageGenotype, other: StageGenotype, rng: np.random.Generator
) -> StageGenotype:
    """Return a genotype each row of which is from one of two."""
    parents = [_columns(skeleton, parent) for parent in (one, other)]
    columns = {
        name: [parents[rng.integers(len(parents))][name][row] for row in range(rows)]
        for name, (rows, _) in skeleton.tables.items()
    }
    return _genotype(skeleton, columns)


def fair_stages(rng: np.random.Generator, skeleton: StageSkeleton) -> list[StageGenotype]:
    """Return networks that together have all options of a row equally often, for every row.

    Strict fairness of FairNAS (Chu et al., arXiv 1907.01845, section 3.2), for rows of different
    lengths.
    """
    turns = math.lcm(*(count for _, count in skeleton.tables.values()))
    orders = {
        name: rng.permuted(np.tile(np.arange(turns) % count, (rows, 1)), axis=1)
        for name, (rows, count) in skeleton.tables.items()
    }
    return [
        _genotype(skeleton, {name: order[:, turn].tolist() for name, order in orders.items()})
        for turn in range(turns)
    ]


def _columns(skeleton: StageSkeleton, genotype: StageGenotype) -> Columns:
    choice = skeleton.choice(genotype)
    return {name: list(getattr(choice, name)) for name in skeleton.tables}


def _genotype(skeleton: StageSkeleton, columns: Columns) -> StageGenotype:
    return skeleton.genotype(StageChoice(**{name: tuple(found) for name, found in columns.items()}))
