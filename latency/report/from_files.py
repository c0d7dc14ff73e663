"""Tables and reports without a server: from what boards have measured into files."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from latency.estimate.made_table import make_table
from latency.exchange.profile_file import ProfileFile, plausible
from latency.exchange.table_file import TableFile, rows_of_profiles
from latency.graph import NetworkGraph
from latency.measurement import NetworkMeasurement
from latency.messages import CALIBRATION, HELD_OUT
from latency.report.difference import difference, withdrawn_tables
from latency.report.table_report import Evidence, table_report
from latency.report.values import TableDifference, TableReport

VERSION = 0  # of a table that no server has numbered


def table_of_profiles(profiles: Sequence[ProfileFile]) -> TableFile:
    """Return the table that devices of one target make together, with their raw samples.

    Raises:
        ValueError: different targets, no operator was measured, or no line fits the networks.
    """
    rows = rows_of_profiles(profiles)
    if not rows:
        raise ValueError("these profiles have no measured operators, so they make no table")
    table = make_table(
        profiles[0].target,
        VERSION,
        rows,
        networks_for(profiles, CALIBRATION),
        networks_for(profiles, HELD_OUT),
    )
    return TableFile(table=table, evidence=tuple(profiles))


def report_of_file(file: TableFile, *, now: datetime) -> TableReport:
    """Return the report of a table in a file, judged on the networks that are in it.

    Networks that several devices have measured tell how well these agree.
    """
    measured = networks_for(file.evidence, HELD_OUT)
    first = {found.graph: found for found in reversed(measured)}
    again = [found for found in measured if first[found.graph] is not found]
    known = {row.spec for row in file.table.rows}
    evidence = Evidence(
        held_out=list(first.values()),
        again=again,
        quarantined={
            failed.spec: failed.error
            for profile in map(plausible, file.evidence)
            for failed in profile.operators
            if failed.error and failed.spec not in known
        },
        withdrawn_at=file.withdrawn_at,
    )
    return table_report(file.table, evidence, now=now)


def difference_of_files(before: TableFile, after: TableFile) -> TableDifference:
    """Return what is different in the second table; networks are those that judge either."""
    graphs = dict.fromkeys([*graphs_of_file(before), *graphs_of_file(after)])
    found = difference(before.table, after.table, list(graphs))
    return replace(found, withdrawn=withdrawn_tables(before.withdrawn_at, after.withdrawn_at))


def graphs_of_file(file: TableFile) -> list[NetworkGraph]:
    """Return the held-out networks of a table in a file."""
    graphs = [measured.graph for measured in networks_for(file.evidence, HELD_OUT)]
    return list(dict.fromkeys(graph for graph in graphs if graph is not None))


def networks_for(profiles: Sequence[ProfileFile], kind: str) -> list[NetworkMeasurement]:
    """Return the measured networks whose name says that they are for this."""
    return [
        measured
        for profile in map(plausible, profiles)
        for measured in profile.networks
        if measured.name.startswith(kind) and not measured.error
    ]
