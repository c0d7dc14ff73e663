"""StageCosts: what the networks of a skeleton cost on a target, as sums over their stages.

What a stage is executed as depends on the shape of its input only (`executed_stage`), so a table
over (input width, own width, option, depth) for each stage, and one over (last width, head) for the
rest, hold the price of every network, in each regime.

A price has a spread, and the squares of the spreads add up as well, but for operators that two
stages have in common, whose errors repeat: there the sum is too low, and so `high_ms` is a lower
bound of the upper end that the table predicts. It is exact where stages share no operator.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import product

import numpy as np
import numpy.typing as npt

from latency.estimate.calibrated import calibrated_ns
from latency.graph import GraphNode
from latency.operator import OperatorSpec, Regime
from latency.table import Calibration
from latency.units import NS_PER_MS
from search.space.sparsity import PlannedEstimator, sparse_spec
from search.space.stage_genotype import Stage
from search.space.stage_networks import executed_end, executed_stage, executed_stem
from search.space.stage_skeleton import DEPTHS, OPTIONS, StageChoice, StagePlan, StageSkeleton

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class RegimeCosts:
    """Costs in one regime: on the last axis nanoseconds, and the squares of their spreads."""

    stages: tuple[Floats, ...]  # (input widths, widths, options, depths, 2) each
    ends: Floats  # (widths of the last level, heads, 2): stem, head, pooling, classifier
    calibration: Calibration


@dataclass(frozen=True, kw_only=True)
class NetworkGroup:
    """All networks of the same widths and head."""

    stages: int  # how many
    widths: tuple[int, ...]  # one position per level
    head: int
    high_ms: Floats  # (N,): lower bounds of the upper ends; N runs over options and depths

    def choice(self, number: int) -> StageChoice:
        """Return one of the networks by its number: stages in order, each option, then depth."""
        shape = (len(OPTIONS), len(DEPTHS)) * self.stages
        digits = [int(digit) for digit in np.unravel_index(number, shape)]
        return StageChoice(
            options=tuple(digits[0::2]),
            depths=tuple(digits[1::2]),
            widths=self.widths,
            heads=(self.head,),
        )


class StageCosts:
    """Costs of the networks of a skeleton, as sparse as planned.

    Args:
        estimator: of the target.
        skeleton: which networks.
    """

    def __init__(self, estimator: PlannedEstimator, skeleton: StageSkeleton) -> None:
        self.skeleton = skeleton
        library = estimator.table.library is not None
        regimes = (Regime.STOCK, Regime.LIBRARY) if library else (Regime.STOCK,)
        self.regimes = tuple(_Pricing(estimator, skeleton, regime).costs() for regime in regimes)

    def groups(self) -> Iterator[NetworkGroup]:
        """Yield all networks."""
        skeleton = self.skeleton
        positions = range(len(skeleton.stages[0].widths))
        for widths in product(positions, repeat=skeleton.levels):
            for head in range(len(skeleton.heads)):
                yield NetworkGroup(
                    stages=len(skeleton.stages),
                    widths=widths,
                    head=head,
                    high_ms=self._high_ms(widths, head),
                )

    def _high_ms(self, widths: tuple[int, ...], head: int) -> Floats:
        bounds = []
        for costs in self.regimes:
            parts = [
                stage[self._entered(index, widths), widths[plan.level]].reshape(-1, 2)
                for index, (plan, stage) in enumerate(
                    zip(self.skeleton.stages, costs.stages, strict=True)
                )
            ]
            end = costs.ends[widths[-1], head]
            total, squares = (
                end[column] + reduce(np.add.outer, [part[:, column] for part in parts]).ravel()
                for column in range(2)
            )
            bounds.append(calibrated_ns(costs.calibration, total, np.sqrt(squares))[2])
        # Which regime is the faster one is left open: this is the lower bound of both.
        high_ms: Floats = np.min(bounds, axis=0) / NS_PER_MS
        return high_ms

    def _entered(self, index: int, widths: tuple[int, ...]) -> int:
        """Return the position of the width of a stage's input."""
        return widths[self.skeleton.stages[index - 1].level] if index else 0


class _Pricing:
    """Looks up what the parts of networks cost in one regime."""

    def __init__(
        self, estimator: PlannedEstimator, skeleton: StageSkeleton, regime: Regime
    ) -> None:
        self._estimator, self._skeleton, self._regime = estimator, skeleton, regime

    def costs(self) -> RegimeCosts:
        skeleton = self._skeleton
        last = skeleton.stages[-1]
        # Whatever reads the image stays dense.
        stem = executed_stem(skeleton.width, skeleton.task, self._regime).spec
        size = -(-last.size // last.stride)
        ends = [
            [
                self._sum([stem, *self._planned(self._end(width, size, head))])
                for head in skeleton.heads
            ]
            for width in last.widths
        ]
        return RegimeCosts(
            stages=tuple(self._stage(index, plan) for index, plan in enumerate(skeleton.stages)),
            ends=np.array(ends),
            calibration=self._estimator.table.calibration_of(self._regime),
        )

    def _stage(self, index: int, plan: StagePlan) -> Floats:
        shape = (len(plan.in_widths), len(plan.widths), len(OPTIONS), len(DEPTHS))
        found = np.zeros((*shape, 2))
        for entered, width, option, depth in np.ndindex(shape):
            if plan.continues and entered != width:
                continue  # no network has that
            stage = self._skeleton.stage(index, option, depth, width)
            nodes = self._executed(stage, plan.in_widths[entered], plan.size)
            found[entered, width, option, depth] = self._sum(self._planned(nodes))
        return found

    def _executed(self, stage: Stage, in_channels: int, size: int) -> tuple[GraphNode, ...]:
        return executed_stage(stage, in_channels, size, self._regime)

    def _end(self, width: int, size: int, head: int) -> tuple[GraphNode, ...]:
        return executed_end(width, size, head, self._skeleton.task, self._regime)

    def _planned(self, nodes: Iterable[GraphNode]) -> list[OperatorSpec]:
        return [sparse_spec(node.spec, self._estimator.sparsity) for node in nodes]

    def _sum(self, specs: Iterable[OperatorSpec]) -> tuple[float, float]:
        """Return the sum of the prices, and that of the squared spreads."""
        counts = Counter(specs)
        prices = {spec: self._estimator.plain.price(spec) for spec in counts}
        return (
            math.fsum(prices[spec].ns * count for spec, count in counts.items()),
            math.fsum((prices[spec].spread_ns * count) ** 2 for spec, count in counts.items()),
        )
