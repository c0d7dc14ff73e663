"""Commands around jobs: search, compress, verify, pull, jobs."""

from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.shared import (
    DEFAULT_DENSITIES,
    DEFAULT_PATTERN,
    DEFAULT_ROWS,
    DEFAULT_SPACE,
    Cells,
    Channels,
    Controls,
    DatasetName,
    Densities,
    Device,
    DistortionName,
    MappingName,
    MaskRuleName,
    Pattern,
    Rows,
    Space,
    Wait,
    client,
    fail,
    follow,
    is_said,
)

app = typer.Typer()
jobs_app = typer.Typer(help="Jobs: list, show, watch, cancel, resume.", no_args_is_help=True)
app.add_typer(jobs_app, name="jobs")


@app.command()
def search(
    context: typer.Context,
    device: Device,
    budget_ms: Annotated[float, typer.Option(help="Latency of one image, milliseconds.")],
    dataset: DatasetName = "digits",
    space: Space = DEFAULT_SPACE,
    channels: Channels = 16,
    cells: Cells = 5,
    density: Annotated[float, typer.Option(help="Fraction of weights kept.")] = 0.25,
    pattern: Pattern = DEFAULT_PATTERN,
    densities: Densities = DEFAULT_DENSITIES,
    recipe: Annotated[str, typer.Option(help="tiny, quick, cpu, standard or gpu.")] = "quick",
    seed: int = 0,
    controls: Controls = False,
    seeds: Annotated[int, typer.Option(help="Trainings of each, with --controls.")] = 1,
    front: Annotated[int, typer.Option(help="Networks to choose from, 2 to 12; 0: none.")] = 0,
    from_front: Annotated[
        str | None, typer.Option(help="JOB:NUMBER: train that network of a front, search nothing.")
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DEVICE=MS", help="One more device for the same network, with its budget."
        ),
    ] = None,
    specialise: Annotated[
        bool,
        typer.Option("--specialise", help="Leave out operations that no device profits from."),
    ] = False,
    rows: Rows = DEFAULT_ROWS,
    wait: Wait = True,
) -> None:
    """Search a sparse network under a latency budget on a device, or on each of several."""
    order: dict[str, Any] = {
        "dataset": dataset,
        "space": space,
        "channels": channels,
        "cells": cells,
        "density": density,
        "pattern": pattern,
        "densities": densities,
        "recipe": recipe,
        "seed": seed,
        "controls": controls,
        "seeds": seeds,
        "front": front,
        "also": [_device_budget(text, "--also") for text in also or ()],
        "specialise": specialise,
        "rows": rows,
    }
    if from_front is not None:  # what is not said is that of the search that found it
        order = {name: value for name, value in order.items() if is_said(context, name)}
        order["from_front"] = from_front
    with client() as api_client:
        job = api_client.search(device, budget_ms, **order)
        follow(api_client, job.id, wait=wait)


@app.command()
def compress(
    network: Annotated[
        str, typer.Argument(help="mobilenet-v2, resnet-18 or resnet-20; or an ONNX file, *.onnx.")
    ],
    budget: Annotated[
        list[str],
        typer.Option(metavar="DEVICE=MS", help="Latency of one image there, such as pi=1.5."),
    ],
    data: Annotated[str, typer.Option(help="Name of the data set.")] = "digits",
    width: Annotated[float, typer.Option(help="Of a built-in network: all channels times.")] = 1.0,
    recipe: Annotated[str, typer.Option(help="tiny, quick, cpu, standard or gpu.")] = "quick",
    distortion: Annotated[
        DistortionName, typer.Option(help="By what it is judged how much a layer loses.")
    ] = "energy",
    mapping: Annotated[
        MappingName, typer.Option(help="Who chooses patterns and densities of the layers.")
    ] = "search",
    mask_rule: Annotated[MaskRuleName, typer.Option(help="How weights leave.")] = "hard",
    distill: Annotated[
        bool, typer.Option("--distill", help="Learn from the dense network as well.")
    ] = False,
    learning_rate: Annotated[
        float | None, typer.Option(help="Of the fine-tuning [default: a tenth of the recipe's].")
    ] = None,
    seed: int = 0,
    rows: Rows = DEFAULT_ROWS,
    as_json: Annotated[
        bool, typer.Option("--json", help="The certificate as JSON on standard output.")
    ] = False,
    wait: Wait = True,
) -> None:
    """Fit a network that you have to a latency budget on a device: its layers become sparse."""
    if len(budget) > 1:
        fail(f"--budget: a network is fitted to one device, got {len(budget)}")
    order = _device_budget(budget[0], "--budget") | {
        "dataset": data,
        "width": width,
        "recipe": recipe,
        "distortion": distortion,
        "mapping": mapping,
        "mask_rule": mask_rule,
        "distillation": {} if distill else None,
        "learning_rate": learning_rate,
        "seed": seed,
        "rows": rows,
    }
    with client() as api_client:
        is_file = network.endswith(".onnx")
        order["network"] = api_client.upload(network).sha256 if is_file else network
        job = api_client.compress(**order)
        follow(api_client, job.id, wait=wait, as_json=as_json)


def _device_budget(text: str, option: str) -> dict[str, Any]:
    """Return what DEVICE=MS says; a name may have a `=` in it, and `ms` may stand behind."""
    device, _, budget_ms = text.rpartition("=")
    try:
        return {"device": device, "budget_ms": float(budget_ms.removesuffix("ms"))}
    except ValueError:
        fail(f"{option}: must be DEVICE=MS, such as pi=1.5, got {text!r}")


@app.command()
def verify(
    sha256: Annotated[str, typer.Argument(help="Digest of a stored ONNX file.")],
    device: Device,
    budget_ms: Annotated[float | None, typer.Option(help="Fail above this.")] = None,
    wait: Wait = True,
) -> None:
    """Measure a stored ONNX file on a device."""
    with client() as api_client:
        job = api_client.verify(device, sha256, budget_ms=budget_ms)
        follow(api_client, job.id, wait=wait)


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
        follow(api_client, job_id, wait=True)


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
