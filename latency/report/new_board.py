"""A table for a board that was only probed, from that of a similar board; drift of one board.

The probes are the rows of the known table that tell most of all others. With the whole networks of
that table measured beside them, the new one is calibrated and judged on the new board itself.
"""

from collections.abc import Sequence

from latency.estimate.made_table import make_table
from latency.estimate.transfer import FamilyScale, choose_probes, family_scales, transfer
from latency.exchange.profile_file import ProfileFile, unused
from latency.exchange.table_file import TableFile, rows_of_profiles
from latency.messages import CALIBRATION, HELD_OUT, NamedGraph, ProfileWork
from latency.report.from_files import VERSION, networks_for
from latency.table import TableRow

_NAMED = 3  # measurements that could not be used, in a message


def probe_plan(known: TableFile, count: int) -> ProfileWork:
    """Return what a new board should measure: probes, and the networks of the known table.

    Raises:
        ValueError: `count` is not from 1 to the number of rows.
    """
    networks = {
        measured.name: NamedGraph(name=measured.name, graph=measured.graph)
        for kind in (CALIBRATION, HELD_OUT)
        for measured in networks_for(known.evidence, kind)
        if measured.graph is not None
    }
    return ProfileWork(
        operators=choose_probes(known.table, count), networks=tuple(networks.values())
    )


def table_of_probes(known: TableFile, profiles: Sequence[ProfileFile]) -> TableFile:
    """Return the table of the board that the profiles are of.

    Rows that were not measured there are those of the known table, rescaled; their intervals say
    how well that is known. Without whole networks the calibration is the known one, moved.

    Raises:
        ValueError: the known table was withdrawn, profiles of different targets, no probe, or no
            line fits the networks.
    """
    if known.withdrawn_at is not None:
        raise ValueError(
            f"the known table was withdrawn at {known.withdrawn_at}: take another to transfer from"
        )
    rows = _probes(known, profiles)
    table = transfer(known.table, rows, profiles[0].target, version=VERSION)
    calibration = networks_for(profiles, CALIBRATION)
    if calibration:
        held_out = networks_for(profiles, HELD_OUT)
        table = make_table(table.target, VERSION, table.rows, calibration, held_out)
    return TableFile(table=table, evidence=tuple(profiles))


def drift(known: TableFile, profiles: Sequence[ProfileFile]) -> tuple[FamilyScale, ...]:
    """Return by how much each family of operators is slower than the known table says.

    Raises:
        ValueError: profiles of different targets, or no probe.
    """
    return family_scales(known.table, _probes(known, profiles))


def _probes(known: TableFile, profiles: Sequence[ProfileFile]) -> tuple[TableRow, ...]:
    specs = {row.spec for row in known.table.rows}
    rows = tuple(row for row in rows_of_profiles(profiles) if row.spec in specs)
    if not rows:
        doubts = unused(profiles)
        why = f"; not used, {'; '.join(doubts[:_NAMED])}" if doubts else ""
        raise ValueError(
            f"probes: these profiles measured no operator that the table has a row of{why}"
        )
    return rows
