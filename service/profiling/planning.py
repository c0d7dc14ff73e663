"""What a job plans: its space, and the networks that a table of that space is judged on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from latency.graph import NetworkGraph
from latency.library_form import library_form
from latency.messages import CALIBRATION, HELD_OUT, NamedGraph, ProfileWork
from latency.operator import Regime, SparsityPattern
from latency.plan import (
    MAX_ROWS,
    ROUNDS,
    MeasuringCosts,
    Plan,
    RowPlan,
    known_points,
    missing_rivals,
    plan_rows,
    rows_of_round,
)
from latency.table import TableRow
from latency.target import Target
from search.requests import table_space
from search.space.search_space import SearchSpace
from search.space.sparsity import Sparsity
from search.space.task import TaskShape
from service.profiling.schemas import DEFAULT_HELD_OUT, DEFAULT_SPACE

CALIBRATION_NETWORKS = 8  # of each regime
_NETWORK_SEED = 20_260_101  # any constant: which networks a table is calibrated and judged on
_PROFILE_DENSITY = 0.25  # of a job that only measures; rows are for every density


def profiled_space(request: dict[str, Any], task: TaskShape) -> SearchSpace:
    """Return the space that a search or profile job is about, and needs a table of.

    Raises:
        ValueError: there is no space of that name, or not of that size.
    """
    planned = Sparsity(
        pattern=SparsityPattern(request["pattern"]),
        density=float(request.get("density", _PROFILE_DENSITY)),
    )
    name = str(request.get("space", DEFAULT_SPACE))  # older searches had no choice
    return table_space(name, int(request["channels"]), int(request["cells"]), task, planned)


def next_rows(
    space: SearchSpace,
    target: Target,
    known: Sequence[TableRow],
    done: Mapping[str, ProfileWork],
    costs: MeasuringCosts,
    most: int = MAX_ROWS,
) -> RowPlan:
    """Return what the device should measure next for a space; nothing after the last round.

    Args:
        space: of the job.
        target: of the device.
        known: rows of the target.
        done: what the job has had measured on it.
        costs: of measuring there.
        most: rows that the table is to have for the space.
    """
    usage = space.usage(target)
    spent = Plan(
        operators=tuple(spec for work in done.values() for spec in work.operators),
        networks=len(planned_networks(space, target, held_out=0)),  # judges cost extra time
        costs=costs,
    )
    rounds_left = ROUNDS - len(done)
    left = min(spent.room, most - known_points(usage, known))
    limit = rows_of_round(left, rounds_left)
    plan = plan_rows(usage, known, target.facts, limit=limit)
    if plan.operators and rounds_left > 1:
        return plan
    # What is left of the limit at the end may tell whether sparsity beats int8 on the target.
    asked = set(spent.operators)  # a rival that cannot be measured is not asked for again
    rivals = tuple(spec for spec in missing_rivals(usage, known) if spec not in asked)
    return replace(plan, operators=plan.operators + rivals[: limit - len(plan.operators)])


def planned_networks(
    space: SearchSpace, target: Target, held_out: int = DEFAULT_HELD_OUT
) -> tuple[NamedGraph, ...]:
    """Return the whole networks to time for a table: some to calibrate it, some to judge it.

    Args:
        space: from which they are drawn.
        target: of the device; with the operator library every network is timed in both regimes.
        held_out: how many of each regime judge the table.
    """
    sets = {
        CALIBRATION: space.calibration_networks(_NETWORK_SEED, CALIBRATION_NETWORKS),
        HELD_OUT: space.held_out_networks(_NETWORK_SEED, held_out),
    }
    return tuple(
        network
        for kind, graphs in sets.items()
        for number, graph in enumerate(graphs)
        for network in _named(kind, number, graph, target)
    )


def _named(kind: str, number: int, graph: NetworkGraph, target: Target) -> Iterator[NamedGraph]:
    """Yield the network in each regime of the target; zeros cost nothing in the stock one."""
    yield NamedGraph(name=f"{kind}-{Regime.STOCK.value}-{number}", graph=graph)
    if target.has_library:
        form = library_form(graph)
        yield NamedGraph(name=f"{kind}-{Regime.LIBRARY.value}-{number}", graph=form)
