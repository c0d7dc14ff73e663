"""The commands. Heavy parts are imported by the command that needs them, so that --help is fast."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from service.client import Client

app = typer.Typer(
    name="edgewright",
    help="Searches neural networks that are sparse and fast on a given edge board.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
token_app = typer.Typer(help="Tokens for people and devices.", no_args_is_help=True)
jobs_app = typer.Typer(help="Jobs: list, show, watch, cancel, resume.", no_args_is_help=True)
app.add_typer(token_app, name="token")
app.add_typer(jobs_app, name="jobs")

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Data folder [default: ./.edgewright].")
]
Device = Annotated[str, typer.Option("--device", help="Id or name of the device.")]
DatasetName = Annotated[str, typer.Option("--dataset", help="Name of the data set.")]
Channels = Annotated[int, typer.Option(help="Channels of the first cell.")]
Cells = Annotated[int, typer.Option(help="Cells of the network.")]


def fail(message: str) -> NoReturn:
    """Say what went wrong, without a traceback, and end."""
    typer.echo(f"edgewright: {message}", err=True)
    raise typer.Exit(EXIT_ERROR)


@contextmanager
def client() -> Iterator["Client"]:
    """Give a client; what the service refuses becomes a line of text."""
    from service.client import ApiError, Client

    try:
        with Client() as found:
            yield found
    except (ApiError, ValueError, TimeoutError, OSError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None


@app.command()
def serve(
    data_dir: DataDir = None,
    host: Annotated[str | None, typer.Option(help="Address [default: 127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(help="Port [default: 8712].")] = None,
) -> None:
    """Run the server: API and one worker, until Ctrl-C."""
    from service.cli.environment import server_environment
    from service.supervisor import CannotServeError, serve

    options = server_environment(data_dir, host, port)
    try:
        serve(options, lambda text: typer.echo(f"edgewright: {text}", err=True))
    except CannotServeError as error:
        fail(str(error))


@app.command()
def api() -> None:
    """Run one API process only; for installations of several machines."""
    from service.api_process import run_api
    from service.settings import Settings

    run_api(Settings())


@app.command()
def worker() -> None:
    """Run one worker process only; one per GPU, on any machine that reaches the database."""
    from service.settings import Settings
    from service.worker.main import run_worker

    run_worker(Settings())


@app.command()
def migrate() -> None:
    """Bring the database up to date; makes the embedded server's token at the first time."""
    from service.cli.administration import migrate_database
    from service.settings import Settings

    for line in migrate_database(Settings()):
        typer.echo(line)


@token_app.command("create")
def token_create(
    kind: Annotated[str, typer.Argument(help="admin, user or enrol.")],
    name: Annotated[str, typer.Option(help="Whose it is.")] = "",
) -> None:
    """Make a token; it is shown once."""
    from service.cli.administration import create_token_of_kind
    from service.settings import Settings

    try:
        token_id, token = create_token_of_kind(Settings(), kind, name)
    except ValueError as error:
        fail(str(error))
    typer.echo(token)
    typer.echo(f"id {token_id}; it is not shown again", err=True)


@token_app.command("revoke")
def token_revoke(token_id: Annotated[str, typer.Argument(help="Id of the token.")]) -> None:
    """Make a token invalid at once."""
    from service.cli.administration import revoke_token_by_id
    from service.errors import ServiceError
    from service.settings import Settings

    try:
        revoke_token_by_id(Settings(), token_id)
    except ServiceError as error:
        fail(str(error))
    typer.echo(f"revoked {token_id}")


@app.command()
def devices() -> None:
    """List the devices."""
    from service.cli.tables import device_lines

    with client() as api_client:
        for line in device_lines(api_client.devices()):
            typer.echo(line)


@app.command()
def plan(
    device: Device, dataset: DatasetName = "digits", channels: Channels = 16, cells: Cells = 5
) -> None:
    """Say what a device still has to measure for a space, and for how many minutes."""
    with client() as api_client:
        found = api_client.plan(device, dataset=dataset, channels=channels, cells=cells)
        typer.echo(
            f"{len(found.missing)} of {found.operators} operators and {found.networks} networks "
            f"to measure: about {found.minutes:.1f} minutes"
        )
        for label in found.missing:
            typer.echo(f"  {label}")


@app.command()
def profile(
    device: Device,
    dataset: DatasetName = "digits",
    channels: Channels = 16,
    cells: Cells = 5,
    wait: Annotated[bool, typer.Option(help="Wait for the end.")] = True,
) -> None:
    """Measure what the table of a device lacks for a space."""
    with client() as api_client:
        job = api_client.profile(device, dataset=dataset, channels=channels, cells=cells)
        _follow(api_client, job.id, wait=wait)


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
            f"table version {found.table_version}: {found.measured} operators measured, "
            f"{found.interpolated} interpolated, {found.estimated} estimated"
        )


@app.command()
def search(
    device: Device,
    budget_ms: Annotated[float, typer.Option(help="Latency of one image, milliseconds.")],
    dataset: DatasetName = "digits",
    channels: Channels = 16,
    cells: Cells = 5,
    density: Annotated[float, typer.Option(help="Fraction of weights kept.")] = 0.25,
    pattern: Annotated[str, typer.Option(help="unstructured or block.")] = "unstructured",
    recipe: Annotated[str, typer.Option(help="tiny, quick or standard.")] = "quick",
    seed: int = 0,
    wait: Annotated[bool, typer.Option(help="Wait for the end.")] = True,
) -> None:
    """Search a sparse network under a latency budget on a device."""
    order: dict[str, Any] = {
        "dataset": dataset,
        "channels": channels,
        "cells": cells,
        "density": density,
        "pattern": pattern,
        "recipe": recipe,
        "seed": seed,
    }
    with client() as api_client:
        job = api_client.search(device, budget_ms, **order)
        _follow(api_client, job.id, wait=wait)


@app.command()
def verify(
    sha256: Annotated[str, typer.Argument(help="Digest of a stored ONNX file.")],
    device: Device,
    budget_ms: Annotated[float | None, typer.Option(help="Fail above this.")] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the end.")] = True,
) -> None:
    """Measure a stored ONNX file on a device."""
    with client() as api_client:
        job = api_client.verify(device, sha256, budget_ms=budget_ms)
        _follow(api_client, job.id, wait=wait)


@app.command()
def pull(
    job_id: Annotated[str, typer.Argument(help="Id of a finished job.")],
    out: Annotated[Path | None, typer.Option(help="Folder [default: edgewright-out/ID].")] = None,
) -> None:
    """Download the files of a job, verified by their digests."""
    with client() as api_client:
        folder = out or Path("edgewright-out") / job_id
        for path in api_client.pull(job_id, folder).values():
            typer.echo(path)


@jobs_app.command("list")
def jobs_list(
    state: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
) -> None:
    """List the jobs, newest first."""
    from service.cli.tables import job_lines
    from service.lifecycle import JobState

    with client() as api_client:
        for line in job_lines(api_client.jobs(None if state is None else JobState(state))):
            typer.echo(line)


@jobs_app.command("show")
def jobs_show(job_id: str) -> None:
    """Show all about a job as JSON."""
    with client() as api_client:
        typer.echo(api_client.job(job_id).model_dump_json(indent=2))


@jobs_app.command("watch")
def jobs_watch(job_id: str) -> None:
    """Follow a job until it ends."""
    with client() as api_client:
        _follow(api_client, job_id, wait=True)


@jobs_app.command("cancel")
def jobs_cancel(job_id: str) -> None:
    """Stop a job; it can be resumed."""
    with client() as api_client:
        typer.echo(f"{job_id} is {api_client.cancel(job_id).state}")


@jobs_app.command("resume")
def jobs_resume(job_id: str) -> None:
    """Go on with a cancelled or failed job."""
    with client() as api_client:
        typer.echo(f"{job_id} is {api_client.resume(job_id).state}")


@app.command()
def demo(
    data_dir: DataDir = None,
    budget_ms: Annotated[float | None, typer.Option(help="Latency of one image.")] = None,
    recipe: Annotated[str, typer.Option(help="tiny, quick or standard.")] = "quick",
    out: Annotated[Path, typer.Option(help="Where results go.")] = Path("edgewright-out"),
) -> None:
    """Do everything once on this machine: serve, enrol, profile, search, export, verify."""
    from service.cli.environment import data_folder
    from service.demo.demo import DemoError, DemoOrder, run_demo

    order = DemoOrder(
        data_dir=data_folder(data_dir), budget_ms=budget_ms, recipe=recipe, out=out.absolute()
    )
    try:
        run_demo(order, typer.echo)
    except DemoError as error:
        fail(str(error))
    except KeyboardInterrupt:
        typer.echo("\nstopped; nothing keeps running. The next run reuses what is there.", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _follow(api_client: "Client", job_id: str, *, wait: bool) -> None:
    """Print the job's id, and with `wait` everything until its end; fails where the job failed."""
    from service.cli.progress import event_line
    from service.lifecycle import JobState

    typer.echo(job_id)
    if not wait:
        return
    for event in api_client.events(job_id):
        if line := event_line(event):
            typer.echo(line, err=True)
    job = api_client.job(job_id)
    if job.state != JobState.SUCCEEDED:
        fail(f"the job is {job.state}: {(job.error or {}).get('message', 'no reason given')}")
    sys.stdout.flush()
