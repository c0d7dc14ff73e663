"""Commands around devices: devices, plan, profile, tables, predict."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli.shared import (
    DEFAULT_PATTERN,
    Cells,
    Channels,
    DatasetName,
    Device,
    Pattern,
    Wait,
    client,
    follow,
)

app = typer.Typer()


@app.command()
def devices() -> None:
    """List the devices."""
    from service.cli.tables import device_lines

    with client() as api_client:
        for line in device_lines(api_client.devices()):
            typer.echo(line)


@app.command()
def plan(
    device: Device,
    dataset: DatasetName = "digits",
    channels: Channels = 16,
    cells: Cells = 5,
    pattern: Pattern = DEFAULT_PATTERN,
) -> None:
    """Say what a device still has to measure for a space, and for how many minutes."""
    with client() as api_client:
        found = api_client.plan(
            device, dataset=dataset, channels=channels, cells=cells, pattern=pattern
        )
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
    channels: Channels = 16,
    cells: Cells = 5,
    pattern: Pattern = DEFAULT_PATTERN,
    wait: Wait = True,
) -> None:
    """Measure what the table of a device lacks for a space."""
    with client() as api_client:
        job = api_client.profile(
            device, dataset=dataset, channels=channels, cells=cells, pattern=pattern
        )
        follow(api_client, job.id, wait=wait)


@app.command()
def tables(device: Annotated[str | None, typer.Option(help="Id or name.")] = None) -> None:
    """List the latency tables with their published errors."""
    from service.cli.tables import table_lines

    with client() as api_client:
        for line in table_lines(api_client.tables(device)):
            typer.echo(line)


@app.command()
def predict(
    genotype: Annotated[Path, typer.Argument(help="File with a genotype.")],
    device: Device,
    dataset: DatasetName = "digits",
) -> None:
    """Predict the latency of a network on a device."""
    import json

    from search.space.genotype import Genotype

    with client() as api_client:
        network = Genotype.from_dict(json.loads(genotype.read_text(encoding="utf-8")))
        found = api_client.predict(device, network, dataset)
        typer.echo(
            f"{found.latency_ms:.4f} ms (90 %: {found.low_ms:.4f} to {found.high_ms:.4f}), "
            f"in the {found.regime} regime, table version {found.table_version}: "
            f"{found.measured} operators measured, {found.transferred} transferred, "
            f"{found.interpolated} interpolated, {found.estimated} estimated, "
            f"{found.assumed} assumed"
        )
