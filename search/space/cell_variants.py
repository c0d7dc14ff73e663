"""Every form in which an operator of a cell can be executed."""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import numpy.typing as npt

from latency.estimate.price_book import NOTHING, PriceBook
from latency.operator import OperatorKind, OperatorSpec, Regime
from search.space.cell_encoding import EDGE_LAYERS
from search.space.cell_interactions import SOURCES
from search.space.dass_cells import (
    DILATED,
    POOLS,
    SEPARABLE,
    STEM_FACTOR,
    WIDTH_STEPS,
    CellPlan,
    conv_spec,
    dilated_specs,
    linear_spec,
    plain_spec,
    plan_cells,
    pool_spec,
    rectified,
    reduce_spec,
    separable_specs,
)
from search.space.genotype import NODES
from search.space.primitives import OPERATIONS
from search.space.sparsity import Sparsity, sparse_spec
from search.space.task import TaskShape
from search.space.variants import Variants

Ints = npt.NDArray[np.int64]

_LAST = EDGE_LAYERS - 1


@dataclass(frozen=True, kw_only=True)
class CellSize:
    """Width and depth of a network of cells, and its task."""

    channels: int  # of the first cell
    cells: int
    task: TaskShape

    @property
    def plans(self) -> tuple[CellPlan, ...]:
        """Shapes of every cell."""
        return plan_cells(self.channels, self.cells, self.task)


class CellVariants:
    """The operators of the cells of one network size, in one regime.

    `edges` has the digits (cell, halved, operation, width, rectifies its input, takes the sum,
    layer), `inputs` (cell, which, has a ReLU behind it, takes a sum), `stem` and `classifier` one
    that is 0.
    """

    def __init__(
        self, book: PriceBook, size: CellSize, sparsity: Sparsity | None, regime: Regime
    ) -> None:
        self._book, self._size, self._plans = book, size, size.plans
        self._sparsity, self._regime = sparsity, regime
        cells, planned = len(self._plans), self._as_planned
        shape = (cells, 2, len(OPERATIONS), len(WIDTH_STEPS), 2, 2, EDGE_LAYERS)
        self.edges = Variants(book, shape, self._edge, planned)
        self.inputs = Variants(book, (cells, 2, 2, 2), self._input, planned)
        self.stem = Variants(book, (1,), self._stem, lambda spec: spec)
        self.classifier = Variants(book, (1,), self._classifier, planned)

    def sum_of_two(self, plan: CellPlan) -> int:
        """Return the position of the sum of a node."""
        return self._plain(OperatorKind.ADD, plan.channels, plan.out_size, 2)

    def relus(self, plan: CellPlan) -> Ints:
        """Return the positions (5,) of the ReLUs of the states of a cell, where there are any."""
        if self._regime is Regime.LIBRARY:  # it rectifies what it reads
            return np.full(SOURCES, NOTHING)
        sizes = (_state_size(plan, source) for source in range(SOURCES))
        return np.array([self._plain(OperatorKind.RELU, plan.channels, size) for size in sizes])

    def pools(self, plan: CellPlan) -> Ints:
        """Return the positions (5, 2) of the pools of the states of a cell."""
        specs = (
            pool_spec(operation, plan.channels, _state_size(plan, source), plan.stride(source))
            for source, operation in product(range(SOURCES), POOLS)
        )
        found = [self._book.position(self._executed(spec)) for spec in specs]
        return np.array(found).reshape(SOURCES, len(POOLS))

    def always(self) -> Ints:
        """Return the positions of what has no weights and is in every network."""
        kind, last = OperatorKind, self._plans[-1]
        found = [self._plain(kind.CONCAT, p.channels, p.out_size, NODES) for p in self._plans]
        found.append(self._plain(kind.GLOBAL_AVG_POOL, NODES * last.channels, last.out_size))
        if self._regime is Regime.STOCK:
            found += [
                self._plain(kind.RELU, NODES * plan.channels, plan.out_size)
                for plan in self._plans[:-1]
            ]
        return np.array(found)

    def _plain(self, kind: OperatorKind, channels: int, size: int, inputs: int = 1) -> int:
        return self._book.position(self._executed(plain_spec(kind, channels, size, inputs=inputs)))

    def _as_planned(self, spec: OperatorSpec) -> OperatorSpec:
        return spec if self._sparsity is None else sparse_spec(spec, self._sparsity)

    def _executed(self, spec: OperatorSpec) -> OperatorSpec:
        return spec if self._regime is Regime.STOCK else replace(spec, regime=self._regime)

    def _edge(self, *digits: int) -> OperatorSpec | None:
        cell, halved, column, width, relu, takes, layer = digits
        plan, operation, stride = self._plans[cell], OPERATIONS[column], 1 + halved
        size = plan.size if halved or not plan.reduction else plan.out_size
        if operation in SEPARABLE:
            middle = max(1, round(plan.channels * WIDTH_STEPS[width]))
            specs = separable_specs(operation, plan.channels, size, stride, middle)
            spec = tuple(specs.values())[layer]
        elif operation in DILATED:
            found = dilated_specs(operation, plan.channels, size, stride)
            if layer not in (0, _LAST):
                return None
            spec = found["depthwise" if layer == 0 else "pointwise"]
        elif operation == "skip_connect" and halved and layer == _LAST:
            return self._fused(reduce_spec(plan.channels, plan.channels, size), relu, takes)
        else:
            return None
        return self._fused(spec, relu and layer == 0, takes and layer == _LAST)

    def _input(self, cell: int, which: int, activated: int, takes: int) -> OperatorSpec:
        plan = self._plans[cell]
        if which == 0 and plan.after_reduction:
            spec = reduce_spec(plan.inputs[0], plan.channels, 2 * plan.size)
        else:
            spec = conv_spec(plan.inputs[which], plan.channels, plan.size)
        # The ReLU of the stem is fused behind it; those of cells are not.
        reads_cell = cell + which >= 2
        return self._fused(rectified(spec) if activated else spec, reads_cell, takes)

    def _stem(self, _only: int) -> OperatorSpec:
        task, channels = self._size.task, STEM_FACTOR * self._size.channels
        spec = conv_spec(task.image_channels, channels, task.image_size, kernel=3)
        return self._executed(rectified(spec))

    def _classifier(self, _only: int) -> OperatorSpec:
        channels = NODES * self._plans[-1].channels
        return self._executed(linear_spec(channels, self._size.task.classes))

    def _fused(self, spec: OperatorSpec, relu: int, takes: int) -> OperatorSpec:
        if self._regime is Regime.STOCK:
            return spec
        return replace(spec, regime=self._regime, relu_input=bool(relu), residual=bool(takes))


def _state_size(plan: CellPlan, source: int) -> int:
    """Return height and width of a state of a cell, pixels."""
    return plan.size if source < 2 else plan.out_size
