"""Training stages: each a trainer process of its own, one at a time in a worker."""

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dbos import DBOS, SetEnqueueOptions
from sqlalchemy.exc import SQLAlchemyError

from latency import codec
from latency.exchange.table_file import TableFile, write_table
from latency.files import write_atomic
from service.datasets.use_cases import Dataset, find_dataset
from service.engine.names import TRAINER_QUEUE
from service.engine.trainer import TrainerJob
from service.jobs.given_network import is_built_in
from service.jobs.job_devices import search_devices
from service.jobs.journal import PROGRESS_EVENT, record
from service.jobs.search_order import compress_request, search_request
from service.lifecycle import JobState
from service.profiling.use_cases import load_table
from service.worker.context import WorkerContext
from service.worker.flow import Flow, JobStoppedError, unwrap

SEARCH_STAGE = "search"
FRONT_STAGE = "front"
COMPRESS_STAGE = "compress"
_MOST_CRASHES = 3  # a trainer that is killed this often, as for memory, has failed
_SEARCH_RESULT = Path("search.json")
_SUPERNET = Path("checkpoints/search.pt")
_PARENT = (Path("parent.pt"), Path("parent.json"))  # of a compression: trained once for all rounds
_BROUGHT = "brought.onnx"


@dataclass(frozen=True, kw_only=True)
class StageOrder:
    """Which stage to run for which attempt at which job. Plain values: DBOS stores it."""

    job_id: str
    attempt: int
    stage: str
    round_number: int = 0  # of deriving; each has a folder of its own
    tighten: tuple[float, ...] = ()  # factors on the budgets, device by device; missing ones are 1


def stage_folder(context: WorkerContext, order: StageOrder) -> Path:
    """Return where a stage leaves its results: the search is shared by all rounds."""
    folder = context.job_folder(order.job_id)
    return folder if order.stage == SEARCH_STAGE else folder / f"round-{order.round_number}"


async def run_stage(stage_flow: Callable[..., Any], order: StageOrder, priority: int) -> None:
    """Queue a stage and wait for its end; other jobs' stages may run in between.

    Raises:
        JobFailedError: the training failed, and why.
        JobStoppedError: the job was cancelled.
    """
    with SetEnqueueOptions(priority=priority):
        handle = await DBOS.enqueue_workflow_async(TRAINER_QUEUE, stage_flow, asdict(order))
    unwrap(await handle.get_result())


async def train(context: WorkerContext, order: StageOrder) -> dict[str, Any]:
    """Run the trainer of one stage to its end; the outcome is a value, whatever happens."""
    flow = Flow(context=context, job_id=order.job_id, attempt=order.attempt)
    prepared = await asyncio.to_thread(flow.guarded, prepare_stage, order)
    if "value" not in prepared:
        return prepared
    job = _trainer_job(context, order)
    for _ in range(_MOST_CRASHES):
        end = await context.process.trainers.run(job, lambda report: _note(flow, report))
        if end.fenced:
            context.process.abandon()
        if not end.crashed:
            break
    return {"value": None} if end.error is None else {"error": end.error}


def prepare_stage(flow: Flow, order: StageOrder) -> None:
    """Write what the trainer reads: the request, the tables, and what earlier stages found."""
    with flow.job() as (session, job):
        flow.enter(session, job, JobState.RUNNING)
        request = job.request
        dataset = find_dataset(session, request["dataset"])
        tables = [
            load_table(session, str(device.table_id)) for device in search_devices(session, job)
        ]
    folder = stage_folder(flow.context, order)
    folder.mkdir(parents=True, exist_ok=True)
    prepare = _prepare_compression if order.stage == COMPRESS_STAGE else _prepare_search
    (folder / "request.json").write_bytes(prepare(flow, order, request, dataset))
    for path, table in zip(_table_files(folder, len(tables)), tables, strict=True):
        write_table(path, TableFile(table=table))


def _prepare_search(
    flow: Flow, order: StageOrder, request: dict[str, Any], dataset: Dataset
) -> bytes:
    """Return what a stage of a search is asked; it is given what the search has found."""
    search = search_request(request, dataset, tighten=order.tighten)
    folder, source = stage_folder(flow.context, order), flow.context.job_folder(order.job_id)
    if order.stage != SEARCH_STAGE and search.genotype is None:
        _bring(_SEARCH_RESULT, source, folder)
    if order.stage == FRONT_STAGE:
        _bring(_SUPERNET, source, folder)
    return codec.encode(search)


def _prepare_compression(
    flow: Flow, order: StageOrder, request: dict[str, Any], dataset: Dataset
) -> bytes:
    """Return what a compression is asked; it is given its network, or what it had become before."""
    folder = stage_folder(flow.context, order)
    if order.round_number:
        for name in _PARENT:
            _bring(name, stage_folder(flow.context, replace(order, round_number=0)), folder)
    network = ""
    if not is_built_in(request["network"]):
        network = str(folder / _BROUGHT)
        write_atomic(folder / _BROUGHT, flow.context.store.read_bytes(request["network"]))
    (tighten,) = order.tighten or (1.0,)
    return codec.encode(compress_request(request, dataset, network=network, tighten=tighten))


def _bring(name: Path, source: Path, folder: Path) -> None:
    """Copy a file of the search to where a later stage reads it, whole, unless it is there."""
    target = folder / name
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(target, (source / name).read_bytes())


def _table_files(folder: Path, devices: int) -> list[Path]:
    """Return where the trainer finds the tables of so many devices, in order."""
    others = [folder / f"table-{place}.json" for place in range(2, devices + 1)]
    return [folder / "table.json", *others]


def _trainer_job(context: WorkerContext, order: StageOrder) -> TrainerJob:
    folder = stage_folder(context, order)
    request = json.loads((folder / "request.json").read_bytes())
    devices = 1 + len(request.get("also", ()))
    arguments = [
        ("--request", folder / "request.json"),
        ("--work", folder),
        *(("--table", path) for path in _table_files(folder, devices)),
        ("--fence-seconds", context.process.fence_s),
    ]
    flags = [str(part) for pair in arguments for part in pair]
    return TrainerJob(
        argv=[sys.executable, "-m", "search", order.stage, *flags],
        result_file=folder / f"{order.stage}.json",
        error_file=folder / f"{order.stage}.error.json",
        log_file=folder / "trainer.log",
    )


def _note(flow: Flow, report: dict[str, Any]) -> None:
    """Store the progress of a trainer, as well as it goes: training never waits for it."""
    try:
        with flow.job() as (session, job):
            job.progress = report
            record(session, job, PROGRESS_EVENT, report, flow.context.clock())
    except (SQLAlchemyError, JobStoppedError, ValueError):
        return
