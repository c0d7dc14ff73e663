"""What a job plans: its space, and the networks that a table of that space is judged on."""

from collections.abc import Iterator
from typing import Any

from latency.graph import NetworkGraph
from latency.library_form import library_form
from latency.messages import NamedGraph
from latency.operator import Regime, SparsityPattern
from latency.target import Target
from search.requests import table_space
from search.space.planned_space import PlannedSpace
from search.space.search_space import SearchSpace
from search.space.sparsity import Sparsity
from search.space.task import TaskShape
from service.profiling.use_cases import CALIBRATION, HELD_OUT

_CALIBRATION_NETWORKS = 6  # of each regime
_HELD_OUT_NETWORKS = 4
_NETWORK_SEED = 20_260_101  # any constant: which networks a table is calibrated and judged on
_PROFILE_DENSITY = 0.25  # of a job that only measures; rows are for every density


def planned_space(request: dict[str, Any], task: TaskShape) -> PlannedSpace:
    """Return the cells that a search or profile job is about."""
    return PlannedSpace(
        channels=int(request["channels"]),
        cells=int(request["cells"]),
        task=task,
        sparsity=Sparsity(
            pattern=SparsityPattern(request["pattern"]),
            density=float(request.get("density", _PROFILE_DENSITY)),
        ),
    )


def profiled_space(request: dict[str, Any], task: TaskShape) -> SearchSpace:
    """Return the space of which a job needs a table."""
    found = planned_space(request, task)
    name = str(request.get("space", found.name))  # a search has no choice of spaces yet
    return table_space(name, found.channels, found.cells, task, found.sparsity)


def planned_networks(space: SearchSpace, target: Target) -> tuple[NamedGraph, ...]:
    """Return the whole networks to time for a table: some to calibrate it, some to judge it."""
    sets = {
        CALIBRATION: space.calibration_networks(_NETWORK_SEED, _CALIBRATION_NETWORKS),
        HELD_OUT: space.held_out_networks(_NETWORK_SEED, _HELD_OUT_NETWORKS),
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
