"""Commands around devices: devices, plan, profile, predict."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.shared import (
    DEFAULT_HELD_OUT,
    DEFAULT_PATTERN,
    DEFAULT_ROWS,
    DEFAULT_SPACE,
    Cells,
    Channels,
    DatasetName,
    Device,
    HeldOut,
    Pattern,
    Rows,
    Space,
    Wait,
    client,
    follow,
)

if TYPE_CHECKING:
    from search.space.networks import AnyGenotype

app = typer.Typer()
devices_app = typer.Typer(help="List the devices; judge what they have measured.")
app.add_typer(devices_app, name="devices")

DeviceName = Annotated[str, typer.Argument(help="Id or name of the device.")]


@devices_app.callback(invoke_without_command=True)
def devices(context: typer.Context) -> None:
    """List the devices."""
    from service.cli.tables import device_lines

    if context.invoked_subcommand is not None:
        return
    with client() as api_client:
        for line in device_lines(api_client.devices()):
            typer.echo(line)


@devices_app.command()
def quarantined(device: DeviceName) -> None:
    """List what a device measured and no table uses, with reasons."""
    from service.cli.tables import quarantine_lines

    with client() as api_client:
        for line in quarantine_lines(api_client.quarantined(device)):
            typer.echo(line)


@devices_app.command()
def withdraw(device: DeviceName) -> None:
    """Use nothing any more that a device has measured; names the tables and jobs that did."""
    from service.cli.tables import withdrawal_lines

    with client() as api_client:
        for line in withdrawal_lines(api_client.withdraw(device)):
            typer.echo(line)


@app.command()
def plan(
    device: Device,
    dataset: DatasetName = "digits",
    space: Space = DEFAULT_SPACE,
    channels: Channels = 16,
    cells: Cells = 5,
    pattern: Pattern = DEFAULT_PATTERN,
    held_out: HeldOut = DEFAULT_HELD_OUT,
    rows: Rows = DEFAULT_ROWS,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write it for `edgewright-agent measure`.")
    ] = None,
) -> None:
    """Say what a device still has to measure for a space, and for how many minutes."""
    asked: dict[str, Any] = {
        "dataset": dataset,
        "space": space,
        "channels": channels,
        "cells": cells,
        "pattern": pattern,
        "held_out": held_out,
        "rows": rows,
    }
    with client() as api_client:
        if out is not None:
            work = api_client.plan_file(out, device, **asked)
            typer.echo(
                f"{len(work.operators)} operators and {len(work.networks)} networks: {out}; on the "
                f"board: edgewright-agent measure {out.name} -o profile.json"
            )
            return
        found = api_client.plan(device, **asked)
        known = f"{found.known} of {found.operators} operators are known"
        between = f"{found.covered} are priced by what lies around them"
        error = f"expected error of a network from those: {found.expected_error:.1%}"
        if not found.missing:
            typer.echo(f"nothing to measure: {known}, {between}; {error}")
            return
        typer.echo(
            f"{len(found.missing)} operators and {found.networks} networks to measure first: about "
            f"{found.minutes:.1f} minutes"
        )
        typer.echo(f"{known}, {between}; {error}, then {found.expected_error_after:.1%}")
        for label in found.missing:
            typer.echo(f"  {label}")


@app.command()
def profile(
    device: Device,
    dataset: DatasetName = "digits",
    space: Space = DEFAULT_SPACE,
    channels: Channels = 16,
    cells: Cells = 5,
    pattern: Pattern = DEFAULT_PATTERN,
    held_out: HeldOut = DEFAULT_HELD_OUT,
    rows: Rows = DEFAULT_ROWS,
    wait: Wait = True,
) -> None:
    """Measure what the table of a device lacks for a space."""
    with client() as api_client:
        job = api_client.profile(
            device,
            dataset=dataset,
            space=space,
            channels=channels,
            cells=cells,
            pattern=pattern,
            held_out=held_out,
            rows=rows,
        )
        follow(api_client, job.id, wait=wait)


@app.command()
def predict(
    genotype: Annotated[Path, typer.Argument(help="File with a genotype.")],
    device: Device,
    dataset: DatasetName = "digits",
) -> None:
    """Predict the latency of a network on a device."""
    with client() as api_client:
        network = _read_genotype(genotype)
        found = api_client.predict(device, network, dataset)
        typer.echo(
            f"{found.latency_ms:.4f} ms (90 %: {found.low_ms:.4f} to {found.high_ms:.4f}), "
            f"in the {found.regime} regime, table version {found.table_version}: "
            f"{found.measured} operators measured, {found.transferred} transferred, "
            f"{found.interpolated} interpolated, {found.estimated} estimated, "
            f"{found.assumed} assumed"
        )


def _read_genotype(path: Path) -> "AnyGenotype":
    """Return the genotype in a file; ValueError names the file and what is wrong with it."""
    import json

    from search.space.networks import read_genotype

    try:
        return read_genotype(json.loads(path.read_bytes()))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not JSON: it is no text") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    except RecursionError as error:
        raise ValueError(f"{path}: it is nested too deeply") from error
