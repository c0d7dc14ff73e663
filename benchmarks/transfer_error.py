"""How many probes does a new device need? `python -m benchmarks.transfer_error`.

Starts from the table that `table_error` has written, and measures its rows again: as they were, and
in other settings of this machine, which stand for similar devices: two threads, and, where asked
for, the operator library with narrower instruction sets. Then each table is made from the first one
and 10 to 100 probes of the other setting, and compared with the other setting's own rows: per
network of the space, and per row. At last one family of operators is made a fifth slower, and found
again with a twentieth of the rows.
"""

import argparse
import os
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.recorded import measured_rows
from benchmarks.table_error import OUTPUT
from latency.estimate.families import family_of
from latency.estimate.operator_prices import OperatorPrices
from latency.estimate.transfer import choose_probes, family_scales, transfer
from latency.exchange.table_file import read_table
from latency.operator import OperatorSpec, SparsityPattern
from latency.plan import SpaceUsage
from latency.profiler.device import current_target
from latency.table import TRANSFERRED, LatencyTable, TableRow
from search.space.planned_space import PlannedSpace
from search.space.sparsity import Sparsity
from search.space.task import TaskShape

PROBES = (10, 20, 50, 100)
INSTRUCTION_SETS = ("avx2", "portable")
SLOWER = 1.2
REMEASURED = 0.05  # of the rows
_SET = "EDGEWRIGHT_KERNELS_SET"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--cells", type=int, default=5)
    parser.add_argument("--image-size", type=int, default=16)
    parser.add_argument("--table", type=Path, default=OUTPUT / "table-dass-cells.json")
    parser.add_argument("--instruction-sets", action="store_true", help="narrower ones too")
    options = parser.parse_args()
    task = TaskShape(image_channels=1, image_size=options.image_size, classes=10)
    space = PlannedSpace(
        channels=options.channels,
        cells=options.cells,
        task=task,
        sparsity=Sparsity(pattern=SparsityPattern.BLOCK, density=1.0),
    )
    usage = space.usage(current_target())
    source = written_table(options.table)
    operators = tuple(row.spec for row in source.rows)
    print(f"from {source.target.label()}, {len(source.rows)} rows", flush=True)
    others = {"two threads": _table(operators, threads=2)}
    for name in INSTRUCTION_SETS if options.instruction_sets and source.target.has_library else ():
        with _instruction_set(name):
            others[f"library with {name}"] = _table(operators)
    with_noise = {"measured again": _table(operators)}
    for name, device in (with_noise | others).items():
        for count in PROBES:
            print(f"  {name:22} {count:4} probes: {judged(source, device, count, usage)}")
        print(f"  {name:22} no probes:  networks {_mean(network_errors(source, device, usage))}")
    _print_drift(source, with_noise["measured again"], usage)


def judged(source: LatencyTable, device: LatencyTable, count: int, usage: SpaceUsage) -> str:
    """Return how far a table from `count` probes of a device is from the device's own."""
    found = _transferred(source, device, count)
    truth = {row.spec: row for row in device.rows}
    made = [row for row in found.rows if row.method == TRANSFERRED]
    misses = [abs(row.median_ns / truth[row.spec].median_ns - 1.0) for row in made]
    inside = [abs(row.median_ns - truth[row.spec].median_ns) <= row.spread_ns for row in made]
    return (
        f"networks {_mean(network_errors(found, device, usage))}, rows median "
        f"{statistics.median(misses):5.1%}, in the interval {statistics.fmean(inside):4.0%}"
    )


def network_errors(found: LatencyTable, device: LatencyTable, usage: SpaceUsage) -> list[float]:
    """Return the relative errors of the sums of prices of the networks of a space."""
    sums = [
        usage.counts @ [prices.price(spec).ns for spec in usage.operators]
        for prices in (OperatorPrices(found.rows), OperatorPrices(device.rows))
    ]
    return [float(error) for error in np.abs(sums[0] / sums[1] - 1.0)]


def _print_drift(source: LatencyTable, again: LatencyTable, usage: SpaceUsage) -> None:
    count = max(1, int(REMEASURED * len(source.rows)))
    print(f"one family {SLOWER} times as slow, {count} rows measured again:")
    for family in sorted({family_of(row.spec) for row in source.rows}):
        rows = tuple(
            replace(row, median_ns=SLOWER * row.median_ns) if family_of(row.spec) == family else row
            for row in again.rows
        )
        device = replace(again, rows=rows)
        errors = network_errors(_transferred(source, device, count), device, usage)
        scales = family_scales(source, _probes(source, device, count))
        drifted = ", ".join(f"{s.family} {s.scale:.2f}" for s in scales if s.drifted) or "none"
        print(f"  {family:24} networks {_mean(errors)}; found drifted: {drifted}")


def _transferred(source: LatencyTable, device: LatencyTable, count: int) -> LatencyTable:
    return transfer(source, _probes(source, device, count), device.target, version=1)


def _probes(source: LatencyTable, device: LatencyTable, count: int) -> list[TableRow]:
    wanted = set(choose_probes(source, count))
    return [row for row in device.rows if row.spec in wanted]


def written_table(path: Path) -> LatencyTable:
    """Return the table in a file.

    Raises:
        SystemExit: there is none, or it is of another target than this machine with one thread.
    """
    try:
        table = read_table(path).table
    except ValueError as error:
        raise SystemExit(f"{error}; python -m benchmarks.table_error writes a table") from error
    if table.target != current_target():
        raise SystemExit(f"{path} is of another target: {table.target.label()}")
    return table


def _table(operators: Sequence[OperatorSpec], threads: int = 1) -> LatencyTable:
    target = current_target(threads)
    return LatencyTable(target=target, version=1, rows=measured_rows(operators, target))


@contextmanager
def _instruction_set(name: str) -> Iterator[None]:
    os.environ[_SET] = name
    try:
        yield
    finally:
        del os.environ[_SET]


def _mean(errors: list[float]) -> str:
    return f"mean {statistics.fmean(errors):5.1%}, worst {max(errors):5.1%}"


if __name__ == "__main__":
    main()
