"""The demo, step by step; everything that it prints comes from this machine and this run."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latency.operator import SparsityPattern
from search.space.planned_space import PlannedSpace
from search.space.sparsity import Sparsity
from search.space.task import TaskShape
from service.client import ApiError, Client
from service.client.errors import BudgetInfeasibleError
from service.client.event_text import event_line
from service.demo.budget import FRACTION, choose_budget
from service.demo.memory import PeakMemory
from service.demo.processes import DemoError, running_agent, running_server
from service.demo.report import DemoResult, report_lines
from service.jobs.schemas import JobRead
from service.lifecycle import FINAL_JOB_STATES, JobState

DATASET = "digits"
CHANNELS = 16
CELLS = 5
PATTERN = SparsityPattern.BLOCK
DENSITY = 0.25
ROWS = 100  # a third of what a table has by default: somebody waits, and its error is printed
JOB_NAME = "edgewright demo"
_SAMPLES = 8

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class DemoOrder:
    """What the user asked for."""

    data_dir: Path
    budget_ms: float | None  # None: chosen from the table
    recipe: str
    densities: str
    controls: bool
    out: Path


def run_demo(order: DemoOrder, say: Say) -> None:
    """Serve, enrol, profile, search, export, verify, download, and say what came of it.

    Raises:
        DemoError: it cannot go on.
        KeyboardInterrupt: somebody ended it; its processes are gone by then.
    """
    started = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    order.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with PeakMemory() as memory, running_server(order.data_dir) as client:
            say(f"server     {client.url} (data in {order.data_dir})")
            result = _run_loop(order, client, say)
            peak_bytes = memory.peak_bytes
    except ApiError as error:
        raise DemoError(str(error)) from error
    for line in report_lines(result, time.monotonic() - started, peak_bytes):
        say(line)


def _run_loop(order: DemoOrder, client: Client, say: Say) -> DemoResult:
    with running_agent(client, order.data_dir) as device:
        say(f"device     {device.name}: {device.target.label()}")
        space = {"dataset": DATASET, "channels": CHANNELS, "cells": CELLS, "rows": ROWS}
        profile = _profile(client, device.id, space | {"pattern": PATTERN.value}, say)
        table = client.table(str((profile.result or {})["table_id"]))
        budget_ms = order.budget_ms
        if budget_ms is None:
            choice = choose_budget(table, _planned_space(_task(client)))
            budget_ms = choice.budget_ms
            say(
                f"budget     {budget_ms:g} ms: {FRACTION:.0%} of the way from the smallest network "
                f"({choice.smallest_ms:.3f} ms) to the largest ({choice.largest_ms:.3f} ms)"
            )
        wanted = space | {
            "budget_ms": budget_ms,
            "recipe": order.recipe,
            "pattern": PATTERN.value,
            "density": DENSITY,
            "densities": order.densities,
            "controls": order.controls,
        }
        job = _search(client, device.id, wanted, say)
        folder = order.out / job.id
        files = client.pull(job.id, folder)
        artifacts = client.artifacts(job.id)
    certificate = json.loads(files["certificate.json"].read_text(encoding="utf-8"))
    return DemoResult(
        device=device,
        table=table,
        job=job,
        certificate=certificate,
        folder=folder,
        artifacts=artifacts,
        samples=_classify(files["model.onnx"]),
    )


def _profile(client: Client, device_id: str, space: dict[str, Any], say: Say) -> JobRead:
    job = _unfinished(client, "profile", {}) or client.profile(device_id, name=JOB_NAME, **space)
    return _follow(client, job, say)


def _search(client: Client, device_id: str, wanted: dict[str, Any], say: Say) -> JobRead:
    job = _unfinished(client, "search", wanted)
    if job is not None:
        say("search     going on with the one that was interrupted")
    else:
        order = {name: value for name, value in wanted.items() if name != "budget_ms"}
        try:
            job = client.search(device_id, wanted["budget_ms"], name=JOB_NAME, **order)
        except BudgetInfeasibleError as error:
            raise DemoError(f"{error} Try --budget-ms {error.smallest_feasible_ms:.3f}.") from error
    return _follow(client, job, say)


def _unfinished(client: Client, kind: str, wanted: dict[str, Any]) -> JobRead | None:
    """Return a job of an earlier demo that still runs and asks for the same; others are ended."""
    for job in client.jobs():
        if job.name != JOB_NAME or job.kind != kind or job.state in FINAL_JOB_STATES:
            continue
        if all(job.request.get(name) == value for name, value in wanted.items()):
            return job
        client.cancel(job.id)
    return None


def _follow(client: Client, job: JobRead, say: Say) -> JobRead:
    say(f"{job.kind:<10} job {job.id}")
    for event in client.events(job.id):
        if line := event_line(event):
            say(f"  {line}")
    ended = client.job(job.id)
    is_over_budget = (ended.error or {}).get("code") == "over-budget"
    if ended.state != JobState.SUCCEEDED and not is_over_budget:
        reason = (ended.error or {}).get("message", "no reason given")
        raise DemoError(f"the {job.kind} job is {ended.state}: {reason}")
    return ended


def _task(client: Client) -> TaskShape:
    found = next(dataset for dataset in client.datasets() if dataset.name == DATASET)
    return TaskShape(
        image_channels=found.image_channels, image_size=found.image_size, classes=found.classes
    )


def _planned_space(task: TaskShape) -> PlannedSpace:
    sparsity = Sparsity(pattern=PATTERN, density=DENSITY)
    return PlannedSpace(channels=CHANNELS, cells=CELLS, task=task, sparsity=sparsity)


def _classify(model: Path) -> dict[str, list[int]]:
    """Classify test images with the downloaded file, in a process that knows nothing else."""
    command = ["-m", "search.try_model", str(model), "--dataset", DATASET]
    done = subprocess.run(
        [sys.executable, *command, "--count", str(_SAMPLES)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DemoError(f"the downloaded model does not run: {done.stderr.strip()[-500:]}")
    found: dict[str, list[int]] = json.loads(done.stdout)
    return found
