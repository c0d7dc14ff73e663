"""The whole networks that a version of a table was calibrated and judged on, found again."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from latency import codec
from latency.graph import GraphNode, NetworkGraph
from latency.measurement import NetworkMeasurement
from latency.operator import OperatorSpec
from service.profiling import repository
from service.tables.latency_table import LatencyTableRow
from service.tables.measurement import NetworkMeasurementRow

_JOBS = 6  # so many of the newest jobs are looked through


@dataclass(frozen=True, kw_only=True)
class TableNetworks:
    """Measured networks of a version of a table, and the same ones measured by other jobs."""

    calibration: tuple[NetworkMeasurement, ...] = ()
    held_out: tuple[NetworkMeasurement, ...] = ()
    again: tuple[NetworkMeasurement, ...] = ()
    device_id: str = ""  # that measured them
    measured_at: str = ""


def network_rows(
    session: Session, table: LatencyTableRow
) -> Sequence[tuple[NetworkMeasurementRow, str]]:
    """Return stored networks of the names that a version has, the newest first, with their jobs."""
    names = [*table.networks["calibration"], *table.networks["held_out"]]
    limit = _JOBS * max(1, len(names))
    return repository.networks_named(session, table.target_fingerprint, names, limit)


def table_networks(
    table: LatencyTableRow, rows: Sequence[tuple[NetworkMeasurementRow, str]]
) -> TableNetworks:
    """Return the networks of a version from `network_rows`; decoding takes a while, no database.

    They are those of the job that had measured most of them when the version was made; another
    job of the same target may have given other networks the same names.
    """
    jobs: dict[str, list[NetworkMeasurementRow]] = defaultdict(list)
    for row, job_id in rows:
        jobs[job_id].append(row)
    own = _own_job(jobs, table.created_at)
    if own is None:
        return TableNetworks()
    found = _newest_by_name([row for row in jobs[own] if row.received_at <= table.created_at])
    measured = {row.name: _measured(row) for row in found}
    kinds = {
        kind: tuple(measured[name] for name in table.networks[kind] if name in measured)
        for kind in ("calibration", "held_out")
    }
    others = [row for job_id, members in jobs.items() if job_id != own for row in members]
    return TableNetworks(
        **kinds,
        again=tuple(_same_networks(others, found)),
        device_id=found[0].device_id,
        measured_at=found[0].measured_at,
    )


def _own_job(jobs: dict[str, list[NetworkMeasurementRow]], created_at: datetime) -> str | None:
    """Return the job with the most of the networks; of equal ones the newest, which comes first."""
    counts = {
        job_id: len({row.name for row in rows if row.received_at <= created_at})
        for job_id, rows in jobs.items()
    }
    best = max(counts, key=lambda job_id: counts[job_id], default=None)
    return best if best is not None and counts[best] else None


def _newest_by_name(rows: Sequence[NetworkMeasurementRow]) -> list[NetworkMeasurementRow]:
    newest: dict[str, NetworkMeasurementRow] = {}
    for row in rows:  # the newest first
        newest.setdefault(row.name, row)
    return list(newest.values())


def _same_networks(
    others: Sequence[NetworkMeasurementRow], own: Sequence[NetworkMeasurementRow]
) -> list[NetworkMeasurement]:
    """Return measurements of other jobs whose graph is that of an own network."""
    graphs = {row.name: row.graph for row in own}
    same = [row for row in _newest_by_name(others) if row.graph == graphs.get(row.name, ...)]
    return [_measured(row) for row in same]


def _measured(row: NetworkMeasurementRow) -> NetworkMeasurement:
    measured = codec.from_plain(row.measurement, NetworkMeasurement)
    return replace(measured, graph=None if row.graph is None else _graph(row.graph))


def _graph(plain: dict[str, Any]) -> NetworkGraph:
    """Return a stored graph; networks share operators, so each is checked once only."""
    nodes = tuple(
        GraphNode(
            name=node["name"],
            spec=_spec(msgspec.json.encode(node["spec"])),
            inputs=tuple(node["inputs"]),
            parameters=node.get("parameters", ""),
        )
        for node in plain["nodes"]
    )
    channels, height, width = plain["input_shape"]
    return NetworkGraph(input_shape=(channels, height, width), nodes=nodes)


@lru_cache(maxsize=4096)
def _spec(text: bytes) -> OperatorSpec:
    return codec.decode(text, OperatorSpec)
