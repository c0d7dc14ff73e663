"""StageEncoder: genotypes of stages as the operators that they are executed as, many at a time.

A stage is executed alike behind every input of one shape (`executed_stage`), so its operators are
looked up once and a genotype is a row of their numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from latency.estimate.price_book import DENSITY_STEPS, PriceBook
from latency.graph import GraphNode, NetworkGraph
from latency.operator import OperatorKind, OperatorSpec, Regime
from search.space.sparsity import LAYER_PATTERNS, Sparsity, sparse_spec, with_sparsity
from search.space.stage_genotype import MAX_STAGES, Stage, StageGenotype
from search.space.stage_networks import (
    FIRST_STAGE,
    STEM,
    build_stages,
    executed_end,
    executed_stage,
    executed_stem,
    stage_of,
)
from search.space.task import TaskShape
from search.space.variants import Variants

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_NO_OPERATOR = 0
_CAPACITY = 8192  # distinct operators; genotypes with more are predicted from their graphs
_STAGES = {f"stages.{index}": index for index in range(MAX_STAGES)}
_PATTERN_OF = {pattern: index for index, pattern in enumerate(LAYER_PATTERNS)}


@dataclass(frozen=True, kw_only=True)
class _Part:
    """The stem, a stage, or what is behind the stages."""

    numbers: list[int]  # of its operators
    column: dict[str, int]  # of each layer among them, by its name inside of the stage
    full: list[int]  # columns that a choice for the whole stage is for


class StageEncoder:
    """Encodes genotypes of stages for one task.

    Args:
        book: where positions are.
        task: image and classes.
        sparsity: what is planned for layers without a choice of their own; None leaves them dense.
    """

    def __init__(self, book: PriceBook, task: TaskShape, sparsity: Sparsity | None) -> None:
        self.book = book
        self._task, self._sparsity = task, sparsity
        self._stems = _Operators(book, lambda spec: spec)
        self._others = _Operators(book, self._planned)
        self._parts: dict[object, _Part] = {}

    def graph(self, genotype: StageGenotype) -> NetworkGraph:
        """Return the network, in the stock regime, as sparse as chosen and planned."""
        graph = build_stages(genotype, self._task)
        return graph if self._sparsity is None else with_sparsity(graph, self._sparsity)

    def positions(self, genotypes: Sequence[StageGenotype]) -> tuple[Flags, list[Ints]]:
        """Return which genotypes are encoded, and positions (N, operators) for each regime."""
        rows = [self._row(genotype) for genotype in genotypes]
        numbers = _padded([[n for part in row for n in part.numbers] for row in rows])
        patterns, steps = np.zeros_like(numbers), np.full_like(numbers, DENSITY_STEPS)
        encoded: Flags = numbers.max(axis=1) < _CAPACITY
        for index, (genotype, row) in enumerate(zip(genotypes, rows, strict=True)):
            if genotype.layers and not _choose(genotype, row, patterns[index], steps[index]):
                encoded[index] = False
        numbers[~encoded] = _NO_OPERATOR
        stem, rest = np.s_[:, :1], np.s_[:, 1:]
        found = []
        for regime in self.book.regimes:
            parts = [
                operators.variants[regime].positions([numbers[at]], patterns[at], steps[at])
                for operators, at in ((self._stems, stem), (self._others, rest))
            ]
            found.append(np.concatenate(parts, axis=1))
        return encoded, found

    def _row(self, genotype: StageGenotype) -> list[_Part]:
        """Return the parts of a network in order."""
        parts, task = self._parts, self._task
        channels, size = genotype.stem, task.image_size
        row = [parts.get(channels) or self._add_stem(channels)]
        for stage in genotype.stages:
            row.append(parts.get((stage, channels, size)) or self._add_stage(stage, channels, size))
            channels, size = stage.width, -(-size // stage.stride)
        end = (channels, size, genotype.head)
        row.append(parts.get(end) or self._add_end(*end))
        return row

    def _add_stem(self, channels: int) -> _Part:
        nodes = {r: (executed_stem(channels, self._task, r),) for r in self.book.regimes}
        return self._parts.setdefault(channels, self._stems.part(nodes))

    def _add_stage(self, stage: Stage, channels: int, size: int) -> _Part:
        nodes = {r: executed_stage(stage, channels, size, r) for r in self.book.regimes}
        return self._parts.setdefault((stage, channels, size), self._others.part(nodes))

    def _add_end(self, channels: int, size: int, head: int) -> _Part:
        nodes = {r: executed_end(channels, size, head, self._task, r) for r in self.book.regimes}
        return self._parts.setdefault((channels, size, head), self._others.part(nodes))

    def _planned(self, spec: OperatorSpec) -> OperatorSpec:
        return spec if self._sparsity is None else sparse_spec(spec, self._sparsity)


class _Operators:
    """Numbers operators by what they are in each regime; number 0 is none."""

    def __init__(self, book: PriceBook, planned: Callable[[OperatorSpec], OperatorSpec]) -> None:
        self._regimes = book.regimes
        none: tuple[OperatorSpec | None, ...] = (None,) * len(book.regimes)
        self._numbers = {none: _NO_OPERATOR}
        self._specs = [none]
        self.variants = {
            regime: Variants(book, (_CAPACITY,), self._finder(index), planned)
            for index, regime in enumerate(book.regimes)
        }

    def part(self, nodes: Mapping[Regime, tuple[GraphNode, ...]]) -> _Part:
        """Return nodes, given for each regime, as a part; a node is known by its name."""
        found = [{node.name: node.spec for node in nodes[regime]} for regime in self._regimes]
        names = sorted({name for by_name in found for name in by_name})
        weighted = {
            name.removeprefix(f"{FIRST_STAGE}."): column
            for column, name in enumerate(names)
            if any(name in by_name and by_name[name].weight_shape for by_name in found)
        }
        return _Part(
            numbers=[self._number(tuple(by_name.get(name) for by_name in found)) for name in names],
            column=weighted,
            full=[
                column
                for column, name in enumerate(names)
                if name in found[0]
                and found[0][name].kind is OperatorKind.CONV
                and found[0][name].groups == 1
            ],
        )

    def _number(self, specs: tuple[OperatorSpec | None, ...]) -> int:
        number = self._numbers.setdefault(specs, len(self._specs))
        if number == len(self._specs):
            self._specs.append(specs)
        return number

    def _finder(self, regime: int) -> Callable[[int], OperatorSpec | None]:
        return lambda number: self._specs[number][regime]


def _choose(genotype: StageGenotype, row: Sequence[_Part], patterns: Ints, steps: Ints) -> bool:
    """Write the choices of one genotype; return whether all of its layers are there."""
    starts = np.cumsum([0] + [len(part.numbers) for part in row]).tolist()
    # Sorted by name, so that the choice for a stage comes before those for its layers.
    for choice in genotype.layers:
        stage = _STAGES.get(stage_of(choice.layer))
        if stage is None:
            index = 0 if choice.layer == STEM else len(row) - 1
            columns = [row[index].column.get(choice.layer)]
        elif stage >= len(genotype.stages):
            return False
        else:
            index, (_, _, layer) = stage + 1, choice.layer.partition(f"stages.{stage}")
            part = row[index]
            columns = [part.column.get(layer[1:])] if layer else list(part.full)
        for column in columns:
            if column is None:
                return False
            patterns[starts[index] + column] = _PATTERN_OF[choice.pattern]
            steps[starts[index] + column] = round(choice.density * DENSITY_STEPS)
    return True


def _padded(rows: Sequence[Sequence[int]]) -> Ints:
    """Return rows of different lengths as one array, filled up with no operator."""
    lengths = np.array([len(row) for row in rows])
    padded = np.zeros((len(rows), lengths.max()), dtype=np.int64)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = [n for row in rows for n in row]
    return padded
