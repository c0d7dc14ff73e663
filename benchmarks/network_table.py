"""The latency table of one network, measured on this machine: every form that its layers can have."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.recorded import calibrated, measure, measured_rows, named_graphs
from latency.estimate.execution import executed_nodes
from latency.graph import NetworkGraph
from latency.library_form import library_form, row_spec
from latency.messages import ProfileWork
from latency.operator import OperatorKind, OperatorSpec, Regime
from latency.table import LatencyTable
from latency.target import Target
from search.finalize.densities import (
    DENSE,
    SPARSE_OPTIONS,
    prunable_layers,
    sparse_operator,
    with_layers,
)

SEED = 1
_SPARSE_NETWORKS = 5  # that calibrate, beside the dense ones


def measure_network(widths: Sequence[NetworkGraph], target: Target) -> LatencyTable:
    """Return a table of a network, calibrated on it as sparse as draws have it, and on its widths.

    Args:
        widths: the network, dense, in the stock regime; behind it the same with fewer channels.
        target: this machine.
    """
    operators = dict.fromkeys(spec for graph in widths[:1] for spec in layer_forms(graph, target))
    narrower = (node.spec for graph in widths[1:] for node in executed_nodes(graph))
    rows = measured_rows(tuple(dict.fromkeys((*operators, *narrower))), target)
    rng = np.random.default_rng(SEED)
    graphs = [*widths, *(_drawn(widths[0], rng) for _ in range(_SPARSE_NETWORKS))]
    named = named_graphs("fit", graphs, with_library=target.has_library)
    _, networks = measure(ProfileWork(operators=(), networks=named), target)
    return calibrated(target, rows, networks)


def layer_forms(graph: NetworkGraph, target: Target) -> Iterator[OperatorSpec]:
    """Yield the operators of a network: of stock runtimes, in int8, and of the library as sparse."""
    for node in executed_nodes(graph):
        yield node.spec
        if node.spec.kind in (OperatorKind.CONV, OperatorKind.LINEAR):
            yield replace(node.spec, dtype="int8")
    if not target.has_library:
        return
    for node in library_form(graph).nodes:
        yield row_spec(node.spec)
    for spec in prunable_layers(graph, Regime.LIBRARY).values():
        for option in SPARSE_OPTIONS:
            yield row_spec(sparse_operator(spec, option))


def _drawn(graph: NetworkGraph, rng: np.random.Generator) -> NetworkGraph:
    """Return the network with an option of each layer that is drawn."""
    options = (DENSE, *SPARSE_OPTIONS)
    return with_layers(
        graph, {layer: options[rng.integers(len(options))] for layer in prunable_layers(graph)}
    )
