"""Which options of a space no device profits from, so that a search can leave them out.

An option is contained in another that can compute whatever it computes: a 3x3 window is a 5x5 one
with a border of zeros, a narrow middle is a wide one with channels of zeros. Giving up the larger
option for the smaller can only be worth it where that is cheaper. So an option is dropped if one
that contains it costs no more in any place of the network, on any device. That is decided by prices
alone: accuracy can only be in favour of the larger one.

Looking for what a device does not need before the search is the idea of HURRICANE (Zhang et al.,
arXiv 1910.11609); the rule here is our own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from latency.table import LatencyTable
from search.engine.problem import SearchProblem
from search.engine.search_stage import LeftOut
from search.space.dass_cells import (
    DILATED,
    SEPARABLE,
    WIDTH_STEPS,
    CellPlan,
    dilated_specs,
    plan_cells,
    separable_specs,
)
from search.space.planned_space import PlannedSpace
from search.space.sparsity import PlannedEstimator

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, order=True)
class CellOption:
    """An operation of an edge, with the width of its middle where it has one."""

    operation: str
    width: float = 1.0  # one of WIDTH_STEPS for separable convolutions

    @property
    def kernel(self) -> int:
        """Height and width of its windows, without dilation."""
        return (SEPARABLE | DILATED)[self.operation]

    def contains(self, other: "CellOption") -> bool:
        """Return whether this, another option, can compute whatever `other` computes."""
        alike = (self.operation in SEPARABLE) == (other.operation in SEPARABLE)
        no_smaller = self.kernel >= other.kernel and self.width >= other.width
        return self != other and alike and no_smaller


CELL_OPTIONS = tuple(
    CellOption(operation=operation, width=width)
    for operation, width in [*product(SEPARABLE, WIDTH_STEPS), *((name, 1.0) for name in DILATED)]
)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether an option is worth having, and what that rests on.

    `against` is the option that contains it and comes nearest to making it useless.
    """

    option: CellOption
    against: CellOption
    dropped: bool
    most_saved: float  # share of the price of `against` that it saves at best, in any place
    device: str  # where it saves that; for a dropped option where it comes nearest to saving

    def label(self) -> str:
        """Return a text for people."""
        names = [f"{one.operation} at width {one.width:g}" for one in (self.option, self.against)]
        if self.dropped:
            return f"drop {names[0]}: {names[1]} costs no more anywhere, on no device"
        return f"keep {names[0]}: on {self.device} it saves {self.most_saved:.1%} of {names[1]}"


def specialise(space: PlannedSpace, tables: Mapping[str, LatencyTable]) -> list[Verdict]:
    """Return a verdict on every option of the cells that is contained in another.

    Args:
        space: its size says which places there are, its sparsity what is executed there.
        tables: of the devices, by name; at least one.

    Raises:
        ValueError: there is no table, or one that has no rows.
    """
    if not tables:
        raise ValueError("specialise: at least one latency table is needed")
    prices = {
        device: _option_prices(space, space.estimator(table)) for device, table in tables.items()
    }
    return verdicts(prices)


def what_to_leave_out(problem: SearchProblem[Any], tables: Sequence[LatencyTable]) -> LeftOut:
    """Return the operations every option of which is dropped, and the verdicts on all options.

    Args:
        problem: its space is one of cells; its request names the devices.
        tables: of the devices, in order.

    Raises:
        ValueError: there is no table, not one for each device, or the space is not of cells.
    """
    space = problem.space
    if not isinstance(space, PlannedSpace):
        raise ValueError(f"specialise: only cells have options, not the space {space.name!r}")
    names = [budget.device or "the device" for budget in problem.request.budgets]
    found = specialise(space, dict(zip(names, tables, strict=True)) if tables else {})
    gone = {verdict.option for verdict in found if verdict.dropped}
    kept = {option.operation for option in CELL_OPTIONS if option not in gone}
    return LeftOut(
        operations=tuple(name for name in SEPARABLE | DILATED if name not in kept),
        why=tuple(verdict.label() for verdict in found),
    )


def verdicts(prices: Mapping[str, Mapping[CellOption, Floats]]) -> list[Verdict]:
    """Return the verdicts from the prices of options, (places,) each, by device.

    Of options that cost the same everywhere the one that contains the other stays, so what a
    dropped option is held against is never dropped for that option.
    """
    options = next(iter(prices.values())).keys()
    found = []
    for option in options:
        rivals = [_compared(option, other, prices) for other in options if other.contains(option)]
        if rivals:
            found.append(min(rivals, key=lambda verdict: verdict.most_saved))
    return found


def _compared(
    option: CellOption, other: CellOption, prices: Mapping[str, Mapping[CellOption, Floats]]
) -> Verdict:
    saved = {
        device: float((1.0 - _ratio(of_device[option], of_device[other])).max())
        for device, of_device in prices.items()
    }
    device = max(saved, key=lambda name: saved[name])
    return Verdict(
        option=option,
        against=other,
        dropped=saved[device] <= 0.0,
        most_saved=saved[device],
        device=device,
    )


def _ratio(prices: Floats, others: Floats) -> Floats:
    """Return prices over others; what costs nothing costs as much as itself."""
    ratios: Floats = np.where(others > 0.0, prices, 1.0 + prices) / np.where(
        others > 0.0, others, 1.0
    )
    return ratios


def _option_prices(space: PlannedSpace, estimator: PlannedEstimator) -> dict[CellOption, Floats]:
    """Return the price of each option in each place: a cell, from its inputs or from its nodes."""
    places = [
        (plan, 2 if halving else 1)
        for plan in plan_cells(space.channels, space.cells, space.task)
        for halving in ((False, True) if plan.reduction else (False,))
    ]
    return {
        option: np.array([_price_ns(option, *place, estimator) for place in places])
        for option in CELL_OPTIONS
    }


def _price_ns(
    option: CellOption, plan: CellPlan, stride: int, estimator: PlannedEstimator
) -> float:
    size = plan.out_size * stride
    if option.operation in DILATED:
        specs = dilated_specs(option.operation, plan.channels, size, stride)
    else:
        middle = max(1, round(plan.channels * option.width))
        specs = separable_specs(option.operation, plan.channels, size, stride, middle)
    return sum(estimator.price(spec).ns for spec in specs.values())
