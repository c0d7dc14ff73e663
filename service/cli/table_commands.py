"""Commands around latency tables, and around profiles of boards without a connection."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.shared import (
    DEFAULT_PATTERN,
    DEFAULT_SPACE,
    Cells,
    Channels,
    Pattern,
    Space,
    client,
    errors_as_text,
    fail,
    is_said,
)

if TYPE_CHECKING:
    from latency.exchange.profile_file import ProfileFile
    from latency.exchange.table_file import TableFile
    from latency.report.values import TableDifference, TableReport
    from service.client import Client
    from service.jobs.schemas import ImportRead
    from service.profiling.schemas import TableRead

app = typer.Typer()
tables_app = typer.Typer(
    help="Latency tables: list, report, diff, export, import, transfer to a new board."
)
app.add_typer(tables_app, name="tables")
profiles_app = typer.Typer(help="What boards measured without a server.", no_args_is_help=True)
app.add_typer(profiles_app, name="profiles")

_LISTED = 10  # measurements that are not used
_TABLE_FILE = Path("table.json")
_PLAN_FILE = Path("plan.json")
Table = Annotated[
    str,
    typer.Argument(help="Id of a table, name of a device (its newest one), or an exported file."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")]
Profiles = Annotated[
    list[Path], typer.Argument(help="Files of `edgewright-agent measure`, of boards of one target.")
]
TableOut = Annotated[Path, typer.Option("-o", "--out", help="Table file to write.")]
OfDevice = Annotated[str | None, typer.Option("--device", help="Id or name.")]


@tables_app.callback(invoke_without_command=True)
def tables(context: typer.Context, device: OfDevice = None) -> None:
    """Latency tables: list, report, diff, export, import, transfer; without a word, list."""
    if context.invoked_subcommand is None:
        tables_list(device)


@tables_app.command("list")
def tables_list(device: OfDevice = None) -> None:
    """List the latency tables with their published errors."""
    from service.cli.tables import table_lines

    with client() as api_client:
        for line in table_lines(api_client.tables(device)):
            typer.echo(line)


@tables_app.command("report")
def tables_report(
    context: typer.Context,
    table: Table,
    dataset: Annotated[
        str | None, typer.Option(help="Also say what a space for this data set lacks.")
    ] = None,
    space: Space = DEFAULT_SPACE,
    channels: Channels = 16,
    cells: Cells = 5,
    pattern: Pattern = DEFAULT_PATTERN,
    as_json: AsJson = False,
    plot: Annotated[
        Path | None, typer.Option(help="Also draw it: .svg, .png or .pdf; needs matplotlib.")
    ] = None,
) -> None:
    """Say how right a table is, what it lacks, and whether sparsity pays on that board."""
    from latency import codec
    from latency.report.text import report_lines

    options = {"space": space, "channels": channels, "cells": cells, "pattern": pattern}
    said = [f"--{name}" for name in options if is_said(context, name)]
    if dataset is None and said:
        fail(
            f"{', '.join(said)}: of no use without --dataset, which gives image size and classes of "
            "the space that the table is compared with"
        )
    asked: dict[str, Any] = {} if dataset is None else {"dataset": dataset} | options
    with errors_as_text():
        report = _report(table, asked)
        if plot is not None:
            _draw(report, plot)
        for line in [codec.encode(report).decode()] if as_json else report_lines(report):
            typer.echo(line)


@tables_app.command("diff")
def tables_diff(before: Table, after: Table, as_json: AsJson = False) -> None:
    """Say what changed from one table to another, op by op: what did an upgrade cost?"""
    from latency import codec
    from latency.report.text import difference_lines

    with errors_as_text():
        found = _difference(before, after)
        for line in [codec.encode(found).decode()] if as_json else difference_lines(found):
            typer.echo(line)


@tables_app.command("export")
def tables_export(
    table: Table,
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write.")] = _TABLE_FILE,
) -> None:
    """Write a table with its raw samples to a file with a checksum."""
    with client() as api_client:
        file = api_client.export_table(_find(api_client, table).id, out)
        samples = sum(len(profile.operators) for profile in file.evidence)
        typer.echo(f"{len(file.table.rows)} rows from {samples} measurements: {out}")


@tables_app.command("probes")
def tables_probes(
    table: Table,
    count: Annotated[int, typer.Option(help="How many operators.")] = 50,
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write.")] = _PLAN_FILE,
) -> None:
    """Write a plan for a board like that of the table: the rows that tell most of all others."""
    from latency.exchange.profile_file import write_plan
    from latency.report.new_board import probe_plan

    with errors_as_text():
        work = probe_plan(_file(table), count)
        write_plan(out, work)
        typer.echo(f"{len(work.operators)} operators and {len(work.networks)} networks: {out}")


@tables_app.command("transfer")
def tables_transfer(table: Table, profiles: Profiles, out: TableOut = _TABLE_FILE) -> None:
    """Make the table of a board that was only probed from the table of a similar one."""
    from latency.exchange.table_file import write_table
    from latency.report.new_board import table_of_probes
    from latency.table import TRANSFERRED

    with errors_as_text():
        file = table_of_probes(_file(table), _profiles(profiles))
        write_table(out, file)
        measured = sum(row.method != TRANSFERRED for row in file.table.rows)
        typer.echo(
            f"{len(file.table.rows)} rows, of which {measured} were measured there, "
            f"{_judged(file)}: {out}"
        )


@tables_app.command("drift")
def tables_drift(table: Table, profiles: Profiles, as_json: AsJson = False) -> None:
    """Say which families of operators have another speed now than in a table, by probes."""
    from latency import codec
    from latency.report.new_board import drift
    from latency.report.text import drift_lines

    with errors_as_text():
        found = drift(_file(table), _profiles(profiles))
        for line in [codec.encode(found).decode()] if as_json else drift_lines(found):
            typer.echo(line)


@tables_app.command("import")
def tables_import(path: Annotated[Path, typer.Argument(help="File of `tables export`.")]) -> None:
    """Take in the raw samples of an exported table (administrators only)."""
    from latency.exchange.table_file import read_table

    with client() as api_client, _named(path):
        read_table(path)  # says what is wrong with a file before anything is sent
        _say(api_client.import_table(path))


@profiles_app.command("import")
def profiles_import(
    path: Annotated[Path, typer.Argument(help="File of `edgewright-agent measure`.")],
    device: Annotated[str, typer.Option(help="Id or name; a new name makes a device.")],
) -> None:
    """Take in what a board measured without a connection (administrators only)."""
    from latency.exchange.profile_file import read_profile

    with client() as api_client, _named(path):
        read_profile(path)
        _say(api_client.import_profile(path, device))


@profiles_app.command("merge")
def profiles_merge(profiles: Profiles, out: TableOut = _TABLE_FILE) -> None:
    """Make a table file of what boards of one target have measured, without a server."""
    from latency.exchange.table_file import write_table
    from latency.report.from_files import table_of_profiles

    with errors_as_text():
        file = table_of_profiles(_profiles(profiles))
        write_table(out, file)
        rows = len(file.table.rows)
        typer.echo(f"{rows} rows of {len(profiles)} profiles, {_judged(file)}: {out}")


def _report(table: str, space: dict[str, Any]) -> "TableReport":
    from latency.report.from_files import report_of_file
    from service.clock import utc_now

    if not _is_file(table):
        with client() as api_client:
            return api_client.report(_find(api_client, table).id, **space)
    if space:
        raise ValueError(
            "--dataset compares a table of a server with a space, not a file: give an id or a device"
        )
    return report_of_file(_file(table), now=utc_now())


def _difference(before: str, after: str) -> "TableDifference":
    from latency.report.from_files import difference_of_files

    if not (_is_file(before) or _is_file(after)):
        with client() as api_client:
            old, new = _find(api_client, before), _find(api_client, after)
            return api_client.difference(old.id, new.id)
    return difference_of_files(_file(before), _file(after))


def _judged(file: "TableFile") -> str:
    error = file.table.error
    return "not judged on held-out networks" if error is None else error.label()


def _is_file(table: str) -> bool:
    return Path(table).suffix == ".json"


def _file(table: str) -> "TableFile":
    """Return a table file, or the table of a server as one."""
    from latency.exchange.table_file import read_table

    if _is_file(table):
        file = read_table(Path(table), withdrawn=True)
        if file.withdrawn_at is not None:
            typer.echo(
                f"warning: {table} was withdrawn at {file.withdrawn_at}: trust none of it", err=True
            )
        return file
    with client() as api_client:
        return api_client.table_file(_find(api_client, table).id)


def _profiles(paths: list[Path]) -> "list[ProfileFile]":
    """Return what files of profiles hold; says on standard error what of it cannot be used."""
    from latency.exchange.profile_file import read_profile, unused

    found = [read_profile(path) for path in paths]
    if doubts := unused(found):
        typer.echo(f"warning: {len(doubts)} measurements are not used:", err=True)
        for doubt in doubts[:_LISTED]:
            typer.echo(f"  {doubt}", err=True)
        if len(doubts) > _LISTED:
            typer.echo(f"  and {len(doubts) - _LISTED} more", err=True)
    return found


def _find(api_client: "Client", table: str) -> "TableRead":
    """Return a table of a server; says on standard error that it was withdrawn."""
    found = api_client.find_table(table)
    if found.withdrawn_at is not None:
        at = f"{found.withdrawn_at:%Y-%m-%d %H:%M} UTC"
        typer.echo(
            f"warning: version {found.version} was withdrawn at {at}: trust none of it", err=True
        )
    return found


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say which file was too large; other messages name it already."""
    from service.client.errors import ApiError

    try:
        yield
    except ApiError as error:
        if error.code != "body-too-large":
            raise
        fail(f"{path}: too large for the server; raise its EDGEWRIGHT_MAX_BODY_BYTES")


def _say(found: "ImportRead") -> None:
    from service.cli.tables import intake_lines

    for line in intake_lines(found):
        typer.echo(line)
    if found.table_id is None:
        typer.echo("no table yet: without whole networks they count in the next version")
        return
    typer.echo(f"table version {found.table_version}: {found.table_id}")
    if found.rows_differing:
        typer.echo(f"{found.rows_differing} rows are another cost here than in the file")


def _draw(report: "TableReport", path: Path) -> None:
    try:
        from latency.report.plots import plot_report
    except ImportError:
        fail("plots need matplotlib: pip install '.[plots]'")
    plot_report(report, path)
