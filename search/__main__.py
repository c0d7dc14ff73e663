"""`python -m search STAGE --request FILE --work DIR [--table FILE]... [--fence-seconds S]`.

Runs one stage of a search as a process of its own: search, front (which may be left out), derive,
train, export or controls; or compress, which is no part of a search and takes a CompressRequest, and
so do the controls of a folder that compress has left.
Progress goes to standard output as JSON lines. The result is DIR/STAGE.json. Exit status: 0 done
(also when it was done before), 1 failed, with DIR/STAGE.error.json saying why, 75 stopped on
purpose: run it again and it goes on from its last checkpoint.
"""

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from search.engine.fence import FENCED_EXIT, die_with_parent, start_fence
from search.engine.progress import JsonLines, Progress

if TYPE_CHECKING:
    from latency.table import LatencyTable
    from search.data.dataset import Dataset
    from search.requests import SearchRequest
    from search.space.task import TaskShape

    StageFunction = Callable[
        [SearchRequest, Path, Dataset, LatencyTable | None, Progress], dict[str, Any]
    ]

COMPRESS = "compress"
STAGES = ("search", "front", "derive", "train", "export", "controls", COMPRESS)
FAILED_EXIT = 1
# Where cores are shared, threads that wait for each other cost more than they bring: a step of the
# search, and of the final training of small images, took longer with two than with one.
_THREADS = 1


class StageError(ValueError):
    """A stage cannot run on what it was given. `code` says which kind of input is wrong."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def main(arguments: list[str] | None = None) -> int:
    """Run one stage; return the exit status."""
    options = _parse(arguments)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    if options.fence_seconds is not None:
        die_with_parent()
        start_fence(sys.stdin.fileno(), options.fence_seconds)
    error_file = options.work / f"{options.stage}.error.json"
    progress = JsonLines(sys.stdout, options.stage)
    try:
        options.work.mkdir(parents=True, exist_ok=True)
        error_file.unlink(missing_ok=True)
        if not (options.work / f"{options.stage}.json").exists():
            run = _run_compress if _is_compress(options) else _run
            run(options, progress)
        progress.report({"finished": True})
    except BrokenPipeError:  # nobody listens any more, so nobody wants the result
        return FENCED_EXIT
    except Exception as error:  # noqa: BLE001  (whatever it is, the worker must read about it)
        traceback.print_exc(file=sys.stderr)
        _write_error(error_file, error)
        return FAILED_EXIT
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="search", description="Run one stage of a search.")
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument(
        "--request", type=Path, required=True, help="SearchRequest or CompressRequest as JSON"
    )
    parser.add_argument("--work", type=Path, required=True, help="results and checkpoints")
    parser.add_argument(
        "--table",
        type=Path,
        action="append",
        default=[],
        help="table file; without: no budget; of several devices one each, in the request's order",
    )
    parser.add_argument(
        "--fence-seconds",
        type=float,
        help="leave when standard input closes or is silent for so long",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=_THREADS,
        help="of the tensor library (default: %(default)s)",
    )
    parser.add_argument(
        "--device", default="auto", help="cpu or cuda (default: a GPU where there is one)"
    )
    parser.add_argument(
        "--distortion", help="of compress: what plans hold down, in place of the request's"
    )
    parser.add_argument("--mapping", help="of compress: who chooses patterns, likewise")
    return parser.parse_args(arguments)


def _is_compress(options: argparse.Namespace) -> bool:
    compressed: Path = options.work / f"{COMPRESS}.json"
    stage: str = options.stage
    return stage == COMPRESS or (stage == "controls" and compressed.exists())


def _run(options: argparse.Namespace, progress: Progress) -> None:
    _start_torch(options.threads)
    from latency.codec import decode
    from latency.exchange.table_file import read_table
    from search.data.datasets import load_dataset
    from search.engine.device import training_device
    from search.engine.recipes import recipe_named
    from search.problems.choice import problem_of
    from search.problems.feasible import refuse_infeasible
    from search.requests import SearchRequest

    with _naming("invalid-request", options.request):
        request = decode(options.request.read_bytes(), SearchRequest)
    with _naming("invalid-table"):
        tables = [read_table(path).table for path in options.table]
        _check_tables(request, len(tables))
    table = tables[0] if tables else None
    with _naming("missing-table"):
        request.planning_table(table)  # refused here, before a search that would be for nothing
    with _naming("invalid-dataset"):
        dataset = load_dataset(request.dataset)
        _check_task(request.task, dataset)
    with _naming("invalid-device"):
        dataset = dataset.to(training_device(options.device))
    if tables and options.stage == "search" and recipe_named(request.recipe).repaired:
        refuse_infeasible(problem_of(request, dataset.task), tables)
    run = _stage_function(options.stage, tables[1:])
    run(request, options.work, dataset, table, progress)


def _run_compress(options: argparse.Namespace, progress: Progress) -> None:
    _start_torch(options.threads)
    from latency.codec import decode
    from latency.exchange.table_file import read_table
    from search.compress.controls import run_compress_controls
    from search.compress.request import CompressRequest
    from search.compress.stage import run_compress
    from search.data.datasets import load_dataset
    from search.engine.device import training_device

    with _naming("invalid-request", options.request):
        request = decode(options.request.read_bytes(), CompressRequest)
        if options.distortion is not None:
            request = replace(request, distortion=options.distortion)
        if options.mapping is not None:
            request = replace(request, mapping=options.mapping)
    with _naming("invalid-table"):
        tables = [read_table(path).table for path in options.table]
        if len(tables) != 1:
            raise ValueError(f"--table: compress needs one, got {len(tables)}")
    with _naming("invalid-dataset"):
        dataset = load_dataset(request.dataset)
        _check_task(request.task, dataset)
    with _naming("invalid-device"):
        dataset = dataset.to(training_device(options.device))
    run = run_compress if options.stage == COMPRESS else run_compress_controls
    run(request, options.work, dataset, tables[0], progress)


def _start_torch(threads: int) -> None:
    # Set before torch starts its threads: where cores are shared, threads that wait by spinning
    # were seen to slow a step down 50 times.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import torch

    torch.set_num_threads(max(1, threads))


def _check_task(planned: "TaskShape | None", dataset: "Dataset") -> None:
    """Refuse a data set that is not what was measured and priced for."""
    if planned is not None and dataset.task != planned:
        raise ValueError(
            f"the data set is {dataset.task}, but {planned} was planned for; did its files "
            "change? register it again"
        )


def _check_tables(request: "SearchRequest", tables: int) -> None:
    """Refuse a number of tables that is not that of the devices; one device may do without."""
    devices = len(request.budgets)
    if tables != devices and (devices > 1 or tables):
        raise ValueError(f"--table: one for each device of the request, {devices}, got {tables}")


def _stage_function(stage: str, others: "Sequence[LatencyTable]") -> "StageFunction":
    """Return what runs a stage; `others` are the tables of all devices but the first."""
    from search.controls.stage import run_controls
    from search.stages import run_derive, run_export, run_search, run_train
    from search.strategies.front_stage import run_front

    stages: dict[str, StageFunction] = {
        "search": partial(run_search, others=others),
        "front": partial(run_front, others=others),
        "derive": partial(run_derive, others=others),
        "train": run_train,
        "export": partial(run_export, others=others),
        "controls": partial(run_controls, others=others),
    }
    return stages[stage]


@contextmanager
def _naming(code: str, path: Path | None = None) -> Iterator[None]:
    """Turn an error about input into a StageError that names what was read."""
    try:
        yield
    except (OSError, ValueError) as error:
        where = "" if path is None else f"{path}: "
        raise StageError(code, f"{where}{error}") from error


def _write_error(path: Path, error: Exception) -> None:
    from search.engine.checkpoint import write_json

    facts = {name: value for name, value in vars(error).items() if isinstance(value, int | float)}
    if isinstance(error, ValueError):
        values = {"code": getattr(error, "code", "stage-failed"), "message": str(error), **facts}
    else:
        values = {"code": "internal-error", "message": f"{type(error).__name__}: {error}"}
    write_json(path, values)


def _stop(_number: int, _frame: FrameType | None) -> None:
    """Leave at the next instruction; the last checkpoint stays."""
    raise SystemExit(FENCED_EXIT)


if __name__ == "__main__":
    raise SystemExit(main())
