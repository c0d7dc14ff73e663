"""How well does a latency table predict networks that it has never seen? `make bench`.

Profiles the space on this machine, calibrates on 6 networks, and compares on held-out ones: our
table, the same table without calibration, and a line through multiply-adds fitted on the same
6 networks. Every held-out network is measured a second time at the end, so that the last line
tells how well the machine agrees with itself: no prediction can be better than that.
"""

import argparse
import statistics
import time
from collections.abc import Sequence

from latency.estimate.calibrate import fit_calibration, published_error, usable_networks
from latency.estimate.lookup_table import TableEstimator
from latency.measurement import NetworkMeasurement, OperatorMeasurement, marginal_cost
from latency.messages import NamedGraph, ProfileWork
from latency.profiler.device import current_target
from latency.profiler.runner import run_profile
from latency.table import LatencyTable, TableRow
from latency.target import Target
from latency.units import NS_PER_MS
from search.space.dass_cells import build_graph
from search.space.genotype import Genotype
from search.space.sampling import calibration_genotypes, held_out_genotypes, space_operators
from search.space.task import TaskShape

SEED = 1
CALIBRATION_NETWORKS = 6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--cells", type=int, default=5)
    parser.add_argument("--image-size", type=int, default=16)
    parser.add_argument("--networks", type=int, default=24, help="held-out networks")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    task = TaskShape(image_channels=1, image_size=options.image_size, classes=10)
    space = (options.channels, options.cells)
    target = current_target(options.threads)
    print(target.label())

    started = time.perf_counter()
    calibration = _graphs("fit", calibration_genotypes(*space, SEED, CALIBRATION_NETWORKS), task)
    work = ProfileWork(operators=space_operators(*space, task), networks=calibration)
    operators, fitted = _measure(work, target)
    rows = tuple(_row(found) for found in operators)
    minutes = (time.perf_counter() - started) / 60
    print(f"{len(rows)} operators and {len(fitted)} networks profiled in {minutes:.1f} min")

    named = _graphs("new", held_out_genotypes(*space, SEED, options.networks), task)
    _, first = _measure(ProfileWork(operators=(), networks=named), target)
    _, second = _measure(ProfileWork(operators=(), networks=named), target)
    table = LatencyTable(
        target=target, version=1, rows=rows, calibration=fit_calibration(rows, fitted)
    )
    plain = LatencyTable(target=target, version=1, rows=rows)
    measured = [median / NS_PER_MS for _, median in usable_networks(first)]
    again = [median / NS_PER_MS for _, median in usable_networks(second)]
    print(f"held-out networks: {min(measured):.3f} to {max(measured):.3f} ms")
    print(f"table:             {_errors(_predicted(table, first), measured)}")
    print(f"  not calibrated:  {_errors(_predicted(plain, first), measured)}")
    print(f"multiply-adds:     {_errors(_by_macs(fitted, first), measured)}")
    print(f"measured again:    {_errors(again, measured)}")
    error = published_error(table, first)
    if error is not None:
        print(f"rank correlation of the table: {error.spearman:.3f}")


def _graphs(prefix: str, genotypes: Sequence[Genotype], task: TaskShape) -> tuple[NamedGraph, ...]:
    return tuple(
        NamedGraph(name=f"{prefix}-{index}", graph=build_graph(genotype, task))
        for index, genotype in enumerate(genotypes)
    )


def _measure(
    work: ProfileWork, target: Target
) -> tuple[list[OperatorMeasurement], list[NetworkMeasurement]]:
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


def _row(measurement: OperatorMeasurement) -> TableRow:
    if measurement.samples is None:
        raise SystemExit(f"no samples of {measurement.spec.label()}")
    cost = marginal_cost(measurement.samples)
    return TableRow(
        spec=measurement.spec,
        median_ns=cost.median_ns,
        spread_ns=cost.spread_ns,
        samples=cost.samples,
        method=measurement.samples.method,
        measured_at="",
    )


def _predicted(table: LatencyTable, networks: Sequence[NetworkMeasurement]) -> list[float]:
    estimator = TableEstimator(table)
    return [estimator.predict(graph).latency_ms for graph, _ in usable_networks(networks)]


def _by_macs(
    fitted: Sequence[NetworkMeasurement], networks: Sequence[NetworkMeasurement]
) -> list[float]:
    """Return the latency by a line through multiply-adds: what a FLOP count would promise."""
    known = usable_networks(fitted)
    sums = [float(sum(spec.macs for spec in graph.operators)) for graph, _ in known]
    slope, intercept = statistics.linear_regression(sums, [median for _, median in known])
    return [
        (intercept + slope * sum(spec.macs for spec in graph.operators)) / NS_PER_MS
        for graph, _ in usable_networks(networks)
    ]


def _errors(predicted: Sequence[float], measured: Sequence[float]) -> str:
    errors = sorted(abs(p / m - 1.0) for p, m in zip(predicted, measured, strict=True))
    within = [sum(error <= limit for error in errors) / len(errors) for limit in (0.05, 0.10)]
    return (
        f"mean error {statistics.mean(errors):6.1%}, median {statistics.median(errors):6.1%}, "
        f"worst {errors[-1]:6.1%}, within 5 %: {within[0]:4.0%}, within 10 %: {within[1]:4.0%}"
    )


if __name__ == "__main__":
    main()
