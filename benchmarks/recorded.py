"""What the benchmarks of latency tables share: measuring on this machine, and errors as text."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from latency.estimate.calibrate import fit_calibration, usable_networks
from latency.estimate.lookup_table import TableEstimator
from latency.graph import NetworkGraph
from latency.library_form import library_form
from latency.measurement import NetworkMeasurement, OperatorMeasurement, marginal_cost
from latency.messages import NamedGraph, ProfileWork
from latency.operator import OperatorSpec, Regime
from latency.profiler.conditions import read_conditions
from latency.profiler.runner import run_profile
from latency.table import Calibration, LatencyTable, TableRow
from latency.target import Target
from latency.units import NS_PER_MS, ms_to_ns


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """How far predictions are from measurements, and how often the interval holds them."""

    errors: tuple[float, ...]  # relative, absolute, ascending
    covered: float  # fraction of measurements inside the 90 % interval; NaN without intervals

    def __str__(self) -> str:
        within = [sum(e <= limit for e in self.errors) / len(self.errors) for limit in (0.05, 0.1)]
        interval = "" if np.isnan(self.covered) else f", in the interval: {self.covered:4.0%}"
        return (
            f"mean error {statistics.mean(self.errors):6.1%}, median "
            f"{statistics.median(self.errors):6.1%}, worst {self.errors[-1]:6.1%}, "
            f"within 5 %: {within[0]:4.0%}, within 10 %: {within[1]:4.0%}{interval}"
        )


def measure(
    work: ProfileWork, target: Target
) -> tuple[list[OperatorMeasurement], list[NetworkMeasurement]]:
    """Return everything that `work` asks for, measured on this machine."""
    operators: list[OperatorMeasurement] = []
    networks: list[NetworkMeasurement] = []

    def keep(result: OperatorMeasurement | NetworkMeasurement) -> None:
        if result.error:
            raise SystemExit(f"could not be measured: {result.error}")
        if isinstance(result, OperatorMeasurement):
            operators.append(result)
        else:
            networks.append(result)

    run_profile(work, target, keep, lambda: False)
    return operators, networks


def measured_rows(operators: Sequence[OperatorSpec], target: Target) -> tuple[TableRow, ...]:
    """Return the rows of operators, measured on this machine."""
    started_at = read_conditions().started_at
    found, _ = measure(ProfileWork(operators=tuple(operators)), target)
    return tuple(row_of(measurement, started_at) for measurement in found)


def row_of(measurement: OperatorMeasurement, measured_at: str) -> TableRow:
    """Return the row of an operator; SystemExit where it could not be measured."""
    if measurement.samples is None:
        raise SystemExit(f"no samples of {measurement.spec.label()}")
    cost = marginal_cost(measurement.samples)
    return TableRow(
        spec=measurement.spec,
        median_ns=cost.median_ns,
        spread_ns=cost.spread_ns,
        samples=cost.samples,
        method=measurement.samples.method,
        measured_at=measured_at,
    )


def named_graphs(
    prefix: str, graphs: Sequence[NetworkGraph], *, with_library: bool
) -> tuple[NamedGraph, ...]:
    """Return networks as stock operators and the library execute them."""
    found = []
    for index, graph in enumerate(graphs):
        found.append(NamedGraph(name=f"{prefix}-stock-{index}", graph=graph))
        if with_library:
            found.append(NamedGraph(name=f"{prefix}-library-{index}", graph=library_form(graph)))
    return tuple(found)


def calibrated(
    target: Target, rows: Sequence[TableRow], networks: Sequence[NetworkMeasurement]
) -> LatencyTable:
    """Return the table of rows, calibrated on networks."""

    def fit(regime: Regime) -> Calibration:
        return fit_calibration(rows, networks, regime, target.facts)

    library = fit(Regime.LIBRARY) if target.has_library else None
    calibration = fit(Regime.STOCK)
    return LatencyTable(
        target=target, version=1, rows=tuple(rows), calibration=calibration, library=library
    )


def accuracy(
    table: LatencyTable, networks: Sequence[NetworkMeasurement], regime: Regime
) -> Accuracy:
    """Return how well a table predicts the networks of a regime."""
    estimator = TableEstimator(table)
    errors, inside = [], 0
    known = usable_networks(networks, regime)
    for graph, median_ns in known:
        found = estimator.predict_form(graph)
        errors.append(abs(ms_to_ns(found.latency_ms) / median_ns - 1.0))
        inside += found.low_ms <= median_ns / NS_PER_MS <= found.high_ms
    return Accuracy(errors=tuple(sorted(errors)), covered=inside / len(known))


def compared(predicted: Sequence[float], measured: Sequence[float]) -> Accuracy:
    """Return how far numbers without intervals are from measurements."""
    errors = sorted(abs(p / m - 1.0) for p, m in zip(predicted, measured, strict=True))
    return Accuracy(errors=tuple(errors), covered=float("nan"))
