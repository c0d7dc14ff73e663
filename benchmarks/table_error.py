"""How well does a latency table predict networks that it has never seen? `make bench-latency`.

Measures on this machine what a job would have measured, in up to three rounds, calibrates on 8
networks of each regime, and compares on held-out ones: the table, the table without calibration, and
a line through multiply-adds fitted on the same 8 networks. With `--every-point` every point of the
space is measured, and the table of all of them is compared too. Some held-out networks are measured
a second time at the end, so that the last line tells how well the machine agrees with itself: no
prediction can be better than that. For cells the multi-layer regressor follows, on one network in
three, trained on the others. Then what each form of the density curves misses on rows that are left
out. The table is written, for `transfer_error` to start from, and what was measured of the networks;
with `--recorded` both are read instead of measured: what would another fit have said of them?
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.recorded import accuracy, calibrated, compared, measure, measured_rows, named_graphs
from benchmarks.regressors import regressor_accuracy
from latency.codec import decode, encode
from latency.estimate.calibrate import (
    published_error,
    undisturbed_networks,
    usable_networks,
)
from latency.estimate.density_curves import form_errors
from latency.exchange.table_file import TableFile, read_table, write_table
from latency.graph import NetworkGraph
from latency.measurement import NetworkMeasurement
from latency.messages import ProfileWork
from latency.operator import OperatorSpec, Regime, SparsityPattern
from latency.plan import MAX_ROWS, ROUNDS, SpaceUsage, known_points, plan_rows, rows_of_round
from latency.profiler.device import current_target
from latency.table import Calibration, LatencyTable, TableRow
from latency.target import Target
from search.requests import SPACE_NAMES, table_space
from search.space.sampling import held_out_genotypes
from search.space.search_space import SearchSpace
from search.space.sparsity import Sparsity
from search.space.task import TaskShape

SEED = 1
CALIBRATION_NETWORKS = 8  # of each regime
PLAN = "plan"
_FIT, _JUDGES, _AGAIN = "fit", "new", "again"  # what the names of networks begin with
OUTPUT = Path("local")
_NO_MORE = Calibration()


def main() -> None:
    """Measure, or read what was measured, and print."""
    options = _parse()
    task = TaskShape(image_channels=1, image_size=options.image_size, classes=10)
    sparsity = Sparsity(pattern=options.pattern, density=1.0)
    space = table_space(options.space, options.channels, options.cells, task, sparsity)
    found = _recorded(options) if options.recorded else _measured(options, space)
    target = found.target
    tables = {PLAN: calibrated(target, found.chosen, found.fit)}
    if found.every:
        points = set(space.usage(target).points)
        rows = tuple(row for row in found.every if row.spec in points)
        tables[f"all {len(rows)} points"] = calibrated(target, rows, found.fit)
    if not options.recorded:
        _write(options, tables[PLAN], found)
    for regime in Regime if target.has_library else (Regime.STOCK,):
        _print_regime(regime, tables, found)
        if options.space == SPACE_NAMES[0]:
            drawn = held_out_genotypes(options.channels, options.cells, SEED, options.networks)
            errors = regressor_accuracy(tables[PLAN], drawn, found.first, regime)
            for name, error in errors.items():
                print(f"  one in three, {name:17} {error}")
    print("density curves, left-out rows:")
    for form in sorted(
        form_errors(found.every or found.chosen), key=lambda form: (form.family, form.form)
    ):
        print(
            f"  {form.family:18} {form.form:17} {len(form.misses):4} rows, mean "
            f"{form.mean:5.1%}, 90 % within {form.high:5.1%}"
        )


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was measured of a space."""

    target: Target
    chosen: Sequence[TableRow]  # what a job would have had measured
    every: Sequence[TableRow] = ()  # all points and probes, where they were asked for
    fit: Sequence[NetworkMeasurement]  # calibrates
    first: Sequence[NetworkMeasurement]  # judges
    second: Sequence[NetworkMeasurement]  # some of those once more


def _measured(options: argparse.Namespace, space: SearchSpace) -> Found:
    target = current_target(options.threads)
    print(target.label())
    usage = space.usage(target)
    every: tuple[TableRow, ...] = ()
    if options.every_point:
        everything = tuple(dict.fromkeys((*usage.points, *usage.probes)))
        every = measured_rows(everything, target)
    started = time.perf_counter()
    chosen = planned_rows(usage, target, _rows_of({row.spec: row for row in every}, target))
    print(f"{len(chosen)} rows, {_minutes_since(started)}", flush=True)
    started = time.perf_counter()
    judges = space.held_out_networks(SEED, options.networks)
    apart = max(1, options.networks // max(1, options.again))  # small and large ones alike
    calibrating = space.calibration_networks(SEED, CALIBRATION_NETWORKS)
    fit, first = _networks({_FIT: calibrating, _JUDGES: judges}, target)
    (second,) = _networks({_AGAIN: judges[::apart]}, target)
    print(f"{len(fit + first + second)} networks, {_minutes_since(started)}")
    return Found(target=target, chosen=chosen, every=every, fit=fit, first=first, second=second)


def _write(options: argparse.Namespace, table: LatencyTable, found: Found) -> None:
    options.output.mkdir(parents=True, exist_ok=True)
    table_path, networks_path = _paths(options)
    write_table(table_path, TableFile(table=table))
    networks_path.write_bytes(encode([*found.fit, *found.first, *found.second]))


def _recorded(options: argparse.Namespace) -> Found:
    table_path, networks_path = _paths(options)
    table = read_table(table_path).table
    networks = decode(networks_path.read_bytes(), list[NetworkMeasurement])
    print(f"{table.target.label()}, {len(table.rows)} rows as recorded in {table_path}")
    fit, first, second = (
        [one for one in networks if one.name.startswith(f"{prefix}-")]
        for prefix in (_FIT, _JUDGES, _AGAIN)
    )
    return Found(target=table.target, chosen=table.rows, fit=fit, first=first, second=second)


def _paths(options: argparse.Namespace) -> tuple[Path, Path]:
    folder: Path = options.output
    return folder / f"table-{options.space}.json", folder / f"networks-{options.space}.json"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", choices=SPACE_NAMES, default=SPACE_NAMES[0])
    parser.add_argument("--channels", type=int, default=16, help="first cell, or stem of stages")
    parser.add_argument("--cells", type=int, default=5)
    parser.add_argument("--image-size", type=int, default=16)
    parser.add_argument("--networks", type=int, default=24, help="held-out networks of a regime")
    parser.add_argument("--again", type=int, default=24, help="of them, measured a second time")
    parser.add_argument("--pattern", type=SparsityPattern, default=SparsityPattern.BLOCK)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--every-point", action="store_true", help="measure all of them")
    parser.add_argument("--recorded", action="store_true", help="read the files instead")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of the files")
    return parser.parse_args()


def planned_rows(
    usage: SpaceUsage,
    target: Target,
    rows_of: Callable[[Sequence[OperatorSpec]], Sequence[TableRow]],
) -> tuple[TableRow, ...]:
    """Return the rows that a job would have had measured."""
    known: list[TableRow] = []
    for number in range(ROUNDS):
        limit = rows_of_round(MAX_ROWS - known_points(usage, known), ROUNDS - number)
        plan = plan_rows(usage, known, target.facts, limit=limit)
        print(
            f"round {number + 1}: {len(plan.operators)} rows, expected error of a network from "
            f"operators without one {plan.error_now:.1%}, then {plan.error_after:.1%}",
            flush=True,
        )
        known += rows_of(plan.operators)
    return tuple(known)


def _rows_of(
    recorded: dict[OperatorSpec, TableRow], target: Target
) -> Callable[[Sequence[OperatorSpec]], Sequence[TableRow]]:
    """Return where rows come from: a recording of all of them, or this machine."""
    if recorded:
        return lambda operators: [recorded[spec] for spec in operators]
    return lambda operators: measured_rows(operators, target)


def _minutes_since(started: float) -> str:
    return f"{(time.perf_counter() - started) / 60:.1f} min"


def _networks(
    sets: Mapping[str, Sequence[NetworkGraph]], target: Target
) -> list[list[NetworkMeasurement]]:
    """Return the measurements of each set; all are measured together, as a job has it."""
    named = tuple(
        network
        for prefix, graphs in sets.items()
        for network in named_graphs(prefix, graphs, with_library=target.has_library)
    )
    found = measure(ProfileWork(operators=(), networks=named), target)[1]
    order = {network.name: position for position, network in enumerate(named)}
    found = sorted(found, key=lambda measured: order[measured.name])  # disturbed ones came last
    return [[one for one in found if one.name.startswith(f"{prefix}-")] for prefix in sets]


def _print_regime(regime: Regime, tables: dict[str, LatencyTable], found: Found) -> None:
    fit, first = found.fit, found.first
    clean = undisturbed_networks(first, regime)
    medians = dict(usable_networks(first, regime))
    measured = list(medians.values())
    again = [
        (median, medians[graph])
        for graph, median in usable_networks(found.second, regime)
        if graph in medians
    ]
    print(
        f"{regime}: {len(measured)} held-out networks, {min(measured) / 1e6:.3f} to "
        f"{max(measured) / 1e6:.3f} ms"
    )
    for name, table in tables.items():
        print(f"  {name:15} {accuracy(table, first, regime)}")
        if clean:
            label = f"{len(clean)} undisturbed"
            print(f"  {label:15} {accuracy(table, clean, regime)}")
        plain = replace(table, calibration=_NO_MORE, library=_NO_MORE)
        print(f"  {'not calibrated':15} {accuracy(plain, first, regime)}")
    print(f"  {'multiply-adds':15} {compared(_by_macs(fit, first, regime), measured)}")
    print(f"  {'measured again':15} {compared(*zip(*again, strict=True))}")
    error = published_error(tables[PLAN], first, regime)
    if error is not None:
        print(f"  rank correlation of the plan's table: {error.spearman:.3f}")


def _by_macs(
    fitted: Sequence[NetworkMeasurement], networks: Sequence[NetworkMeasurement], regime: Regime
) -> list[float]:
    """Return the latency by a line through multiply-adds: what a FLOP count would promise."""
    known = usable_networks(fitted, regime)
    sums = [sum(spec.executed_macs for spec in graph.operators) for graph, _ in known]
    slope, intercept = statistics.linear_regression(sums, [median for _, median in known])
    return [
        intercept + slope * sum(spec.executed_macs for spec in graph.operators)
        for graph, _ in usable_networks(networks, regime)
    ]


if __name__ == "__main__":
    main()
