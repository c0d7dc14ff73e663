"""A table of both regimes whose costs follow a known rule, and networks measured by the same."""

from collections.abc import Sequence
from dataclasses import replace

from latency.estimate.lookup_table import TableEstimator
from latency.graph import NetworkGraph
from latency.library_form import library_form, row_spec
from latency.measurement import NetworkMeasurement
from latency.operator import OperatorSpec, Regime, SparsityPattern
from latency.table import Calibration, LatencyTable
from latency.units import ms_to_ns
from tests.latency.samples import conv, row, small_network, table

DENSITIES = (0.1, 0.25, 0.5, 1.0)
SHAPES = tuple(conv(width, width, 16, kernel=kernel, padding=kernel // 2)
               for width in (16, 32, 64) for kernel in (1, 3))  # fmt: skip


def stock_ns(spec: OperatorSpec) -> float:
    return 500.0 + 0.02 * spec.macs


def library_ns(spec: OperatorSpec) -> float:
    return 700.0 + 0.025 * spec.macs * spec.density


def sparse(spec: OperatorSpec, density: float) -> OperatorSpec:
    if density == 1.0:
        return replace(spec, regime=Regime.LIBRARY)
    return replace(spec, regime=Regime.LIBRARY, pattern=SparsityPattern.BLOCK, density=density)


def networks() -> tuple[NetworkGraph, ...]:
    graphs = [small_network(width) for width in (8, 16, 24, 32, 48)]
    return (*graphs, *(library_form(graph) for graph in graphs))


def full_table(
    specs: Sequence[OperatorSpec] = SHAPES, spread: float = 0.01, slower: float = 1.0
) -> LatencyTable:
    """Rows for the shapes, dense and sparse, and for the networks; all `slower` times as slow."""
    rows = {spec: stock_ns(spec) for spec in specs}
    for density in DENSITIES:
        rows |= {sparse(spec, density): library_ns(sparse(spec, density)) for spec in specs}
    for graph in networks():
        for spec in map(row_spec, graph.operators):
            rows.setdefault(spec, (library_ns if spec.regime is Regime.LIBRARY else stock_ns)(spec))
    made = table(*(row(spec, slower * ns, spread * slower * ns) for spec, ns in rows.items()))
    calibration = Calibration(slope=1.1, intercept_ns=2000.0, sigma=0.03, networks=6)
    return replace(made, calibration=calibration, library=calibration)


def measured(
    estimator: TableEstimator, graph: NetworkGraph, name: str, factor: float
) -> NetworkMeasurement:
    """The network measured at `factor` times what the table predicts, in three processes."""
    ns = round(factor * ms_to_ns(estimator.predict_form(graph).latency_ms))
    processes = tuple((round(ns * off),) * 5 for off in (0.99, 1.0, 1.01))
    return NetworkMeasurement(name=name, processes_ns=processes, graph=graph)
