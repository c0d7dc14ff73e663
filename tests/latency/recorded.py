"""Rows of a real device, recorded with the profiler: what estimators and planners are judged on.

`recorded.csv` holds every point of the demo's space (16 channels, 5 cells, digits at 16x16, blocks
of 4) at five densities, measured in three settings of one machine. Its first lines name the machine
and the day.
"""

import csv
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from latency.estimate.families import family_of
from latency.operator import OperatorSpec
from latency.table import LatencyTable, TableRow
from latency.target import DeviceFacts, Target

_FILE = Path(__file__).parent / "recorded.csv"
_FACTS = DeviceFacts(
    machine="x86_64",
    processor="AMD EPYC",
    cores=2,
    features=("avx", "avx2", "fma"),
)
SETTINGS = ("one-thread", "avx2", "portable")


def recorded_table(setting: str = "one-thread") -> LatencyTable:
    """Return the table of one of SETTINGS."""
    return _tables()[setting]


def replayed(table: LatencyTable, seed: int, noise: float = 0.01) -> LatencyTable:
    """Return the table as it would be if it were measured again: every row with new noise."""
    rng = np.random.default_rng(seed)
    rows = tuple(
        replace(row, median_ns=row.median_ns * float(np.exp(noise * rng.standard_normal())))
        for row in table.rows
    )
    return replace(table, rows=rows)


def slowed(table: LatencyTable, family: str, factor: float) -> LatencyTable:
    """Return the table of a device on which one family of operators takes `factor` as long."""
    rows = tuple(
        replace(row, median_ns=row.median_ns * factor) if family_of(row.spec) == family else row
        for row in table.rows
    )
    assert rows != table.rows
    return replace(table, rows=rows)


@cache
def _tables() -> dict[str, LatencyTable]:
    with _FILE.open(encoding="utf-8") as file:
        lines = [line for line in file if not line.startswith("#")]
    records = [(_spec(record), record) for record in csv.DictReader(lines)]
    return {
        setting: LatencyTable(
            target=Target(
                facts=_FACTS,
                runtime_version="1.32.0",
                threads=2 if setting == "two-threads" else 1,
                operator_library=f"recorded+{setting}",
            ),
            version=1,
            rows=tuple(_row(spec, record[setting]) for spec, record in records),
        )
        for setting in SETTINGS
    }


def _row(spec: OperatorSpec, value: str) -> TableRow:
    median_ns, spread_ns = value.split("+-")
    return TableRow(
        spec=spec,
        median_ns=float(median_ns),
        spread_ns=float(spread_ns),
        samples=15,
        method="frame",
        measured_at="2026-11-27T12:00:00+00:00",
    )


def _spec(record: dict[str, str]) -> OperatorSpec:
    numbers = ("in_channels", "out_channels", "kernel", "stride", "padding", "dilation", "groups",
               "inputs")  # fmt: skip
    return OperatorSpec.from_dict(
        {name: int(record[name]) for name in numbers}
        | {name: record[name] for name in ("kind", "activation", "pattern", "regime")}
        | {name: record[name] == "1" for name in ("relu_input", "residual")}
        | {"height": int(record["size"]), "width": int(record["size"])}
        | {"density": float(record["density"])}
    )
