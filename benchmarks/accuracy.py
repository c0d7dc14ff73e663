"""Accuracy at equal measured latency: the searched network against those one would have taken.

`make bench-accuracy DATASET=FOLDER` with CIFAR-10. A processor affords a part of it only: 10,000
training images, small networks, few epochs (recipe `cpu`), as many for every network; accuracies are
on the whole test set, once. Steps, each of which leaves files and is not repeated:

    table     operators and calibration networks of the space, measured on this machine
    widths    which widths of the rivals are within the budget, measured with random weights
    search    a search under that budget, and the training of what it finds
    rivals    trainings of the rivals, with the same images and epochs
    controls  trainings of the controls of the search
    report    the files of all that were trained, measured together

The budget is what sparse ResNet-18 at a quarter of its width needs, unless one is given. Files are
timed as jobs time them: beside the reference model, again until the machine was quiet. The trainings may run at once in several processes; the other steps need the machine for themselves.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.accuracy_report import Entry, print_report, searched_entries
from benchmarks.cifar import choose_part, cifar_reference
from benchmarks.recorded import calibrated, measure, measured_rows, named_graphs
from benchmarks.rivals import (
    PATTERN,
    Form,
    Rival,
    Timed,
    candidates,
    cheapest_ms,
    choose_rivals,
    dense_file,
    sparse_file,
    time_widths,
)
from benchmarks.table_error import CALIBRATION_NETWORKS, SEED, planned_rows
from benchmarks.timed_files import fastest_reference_ns
from latency import codec
from latency.exchange.table_file import TableFile, read_table, write_table
from latency.files import write_atomic
from latency.messages import ProfileWork
from latency.profiler.device import current_target
from latency.table import LatencyTable
from latency.units import NS_PER_US
from search.controls.stage import run_controls
from search.controls.trainings import Trainings
from search.data.batches import Examples
from search.data.dataset import Dataset
from search.data.datasets import load_dataset
from search.engine.checkpoint import read_result, write_json
from search.engine.progress import JsonLines
from search.requests import SearchRequest
from search.space.networks import network_graph
from search.stages import run_derive, run_export, run_search, run_train, trained_network

OUTPUT = Path("local") / "accuracy"
IMAGES = 10_000
STEM = 16  # channels of the searched networks
DENSITY = 0.1
BUDGET_OF = ("resnet-18", 0.25)  # family and width, sparse
# The searched network is also compared with wider ones: is it so many times as fast at equal accuracy?
WIDER = {Form.INT8: 2.2, Form.DENSE: 5.0}
NEAR = 0.95
MOST_ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class Contest:
    """What all steps share."""

    folder: Path
    dataset: Dataset
    request: SearchRequest  # of the first seed; its budget is a guess until widths are measured
    seed: int

    @property
    def seed_folder(self) -> Path:
        """Where everything of one seed is."""
        return self.folder / f"seed-{self.seed}"

    def table(self) -> LatencyTable:
        """Return the measured table."""
        return read_table(self.folder / "table.json").table

    def timed(self) -> list[Timed]:
        """Return the measured widths of the rivals."""
        return [codec.from_plain(one, Timed) for one in self._widths["rivals"]]

    @property
    def budget_ms(self) -> float:
        """What networks may take, measured."""
        return float(self._widths["budget_ms"])

    @property
    def reference_ns(self) -> float:
        """What the reference model took at its best while widths were measured."""
        return float(self._widths["reference_ns"])

    @property
    def _widths(self) -> dict[str, Any]:
        return read_result(self.folder / "widths.json")

    def searched(self) -> SearchRequest:
        """Return the request of this seed.

        A search holds the upper end of an interval within its budget. Here networks are compared by
        what they measure, so it is given a budget whose interval has NEAR of ours in its middle.
        """
        space = self.request.search_space(self.dataset.task)
        smallest = space.smallest(space.estimator(self.table()))
        upper = smallest.high_ms / smallest.latency_ms
        return replace(self.request, budget_ms=NEAR * upper * self.budget_ms, seed=self.seed)

    def trainings(self) -> Trainings:
        """Return where rivals are trained."""
        return Trainings(
            work=self.seed_folder,
            dataset=self.dataset,
            table=self.table(),
            progress=JsonLines(sys.stdout, "rivals"),
        )

    def rivals(self) -> list[Rival]:
        """Return what is trained: the widest in the budget, and wider ones of MobileNet-v2."""
        timed, budget_ms = self.timed(), self.budget_ms
        found = choose_rivals(timed, budget_ms)
        for form, slack in WIDER.items():
            mobile = [
                one for one in timed if (one.rival.family, one.rival.form) == ("mobilenet-v2", form)
            ]
            found += choose_rivals(mobile, budget_ms, slack=slack)
        return list(dict.fromkeys(found))


def measure_table(contest: Contest) -> None:
    """Write table.json: what a job would have measured of the space."""
    target = current_target(1)
    space = contest.request.search_space(contest.dataset.task)
    rows = planned_rows(space.usage(target), target, lambda specs: measured_rows(specs, target))
    graphs = space.calibration_networks(SEED, CALIBRATION_NETWORKS)
    named = named_graphs("fit", graphs, with_library=target.has_library)
    _, networks = measure(ProfileWork(operators=(), networks=named), target)
    table = calibrated(target, rows, networks)
    write_table(contest.folder / "table.json", TableFile(table=table))


def measure_widths(contest: Contest, budget_ms: float | None) -> None:
    """Write widths.json: how long each rival takes, and the budget."""
    rivals = candidates(contest.request.density)
    times = time_widths(rivals, contest.dataset.task, contest.folder / "random-weights", print)
    # The fastest process counts: a disturbed one is only slower.
    timed = [Timed(rival=rival, ms=min(times[rival.label].processes_ms)) for rival in rivals]
    if budget_ms is None:
        budget_ms = next(
            one.ms
            for one in timed
            if (one.rival.family, one.rival.width) == BUDGET_OF and one.rival.form is Form.SPARSE
        )
    reference_ns = fastest_reference_ns(times)
    widths = {
        "budget_ms": budget_ms,
        "reference_ns": reference_ns,
        "rivals": [codec.to_plain(one) for one in timed],
        "times": {label: asdict(time) for label, time in times.items()},
    }
    write_json(contest.folder / "widths.json", widths)
    print(f"budget {budget_ms:.4f} ms, reference model {reference_ns / NS_PER_US:.1f} us; ", end="")
    print(f"narrowest of each: {cheapest_ms(timed)}")


def run_searches(contest: Contest) -> None:
    """Search; derive, train and export until the file is predicted within the budget."""
    work, table, dataset = contest.seed_folder / "search", contest.table(), contest.dataset
    work.mkdir(parents=True, exist_ok=True)
    request = contest.searched()
    progress = JsonLines(sys.stdout, "search")
    if not (work / "search.json").exists():
        run_search(request, work, dataset, table, progress)
    for number in range(1, MOST_ROUNDS + 1):
        exported = _searched_file(request, work, dataset, table)
        high_ms = exported["prediction"]["high_ms"]
        if high_ms <= request.budget_ms or number == MOST_ROUNDS:
            break
        request = replace(request, tighten=0.98 * request.tighten * request.budget_ms / high_ms)
        for name in ("derive.json", "train.json", "export.json", "checkpoints/train.pt"):
            (work / name).unlink(missing_ok=True)
    write_json(work / "request.json", codec.to_plain(request))


def train_controls(contest: Contest) -> None:
    """Train the controls of the searched network, in the budget that it was derived with."""
    work = contest.seed_folder / "search"
    request = codec.from_plain(read_result(work / "request.json"), SearchRequest)
    progress = JsonLines(sys.stdout, "controls")
    run_controls(request, work, contest.dataset, contest.table(), progress)


def _searched_file(
    request: SearchRequest, work: Path, dataset: Dataset, table: LatencyTable
) -> dict[str, Any]:
    progress = JsonLines(sys.stdout, "searched")
    stages: dict[str, Callable[..., dict[str, Any]]] = {
        "derive": run_derive,
        "train": run_train,
        "export": run_export,
    }
    for name, stage in stages.items():
        if not (work / f"{name}.json").exists():
            stage(request, work, dataset, table, progress)
    return read_result(work / "export.json")


def train_rivals(contest: Contest, only: str) -> None:
    """Train every rival whose label has `only` in it, and write its file."""
    trainings = contest.trainings()
    for rival in contest.rivals():
        if only not in rival.label:
            continue
        request = replace(contest.searched(), density=rival.density, densities="planned")
        trained = trainings.train(rival.trained_as, rival.genotype, request)
        network = trained_network(request, trained.folder, contest.dataset)
        if rival.form is Form.SPARSE:
            write_atomic(trained.folder / "model.onnx", sparse_file(network))
        else:
            write_atomic(trained.folder / "model.onnx", dense_file(network))
            graph = network_graph(rival.genotype, contest.dataset.task)
            trainings.quantize(f"{rival.trained_as}-int8", trained, graph)


def entries(contest: Contest) -> list[Entry]:
    """Return every trained file with its accuracy; rivals without one are named and left out."""
    trainings, found = contest.trainings(), searched_entries(contest.seed_folder / "search")
    for rival in contest.rivals():
        folder = trainings.folder(rival.trained_as, contest.seed)
        if not (folder / "model.onnx").exists():
            print(f"not trained: {rival.label}")
            continue
        result = read_result(folder / "train.json")
        accuracy, nonzeros = result["accuracy"], result["nonzeros"]
        if rival.form is Form.INT8:
            folder = trainings.folder(f"{rival.trained_as}-int8", contest.seed)
            accuracy = read_result(folder / "int8.json")["accuracy"]
        found.append(
            Entry(
                label=rival.label,
                model=folder / "model.onnx",
                accuracy=accuracy,
                nonzeros=nonzeros,
            )
        )
    return found


def main() -> None:
    """Run the steps that are asked for."""
    options = _parse()
    if options.dataset is None:
        print("SKIPPED: no accuracy was measured. Say where CIFAR-10 is with --dataset FOLDER.")
        return
    torch.set_num_threads(1)
    options.output.mkdir(parents=True, exist_ok=True)
    for seed in range(options.seeds):
        contest = _contest(options, seed)
        _run(contest, options)


def _run(contest: Contest, options: argparse.Namespace) -> None:
    folder = contest.folder
    steps: dict[str, tuple[Path | None, Callable[[], None]]] = {
        "table": (folder / "table.json", lambda: measure_table(contest)),
        "widths": (folder / "widths.json", lambda: measure_widths(contest, options.budget_ms)),
        "search": (None, lambda: run_searches(contest)),
        "rivals": (None, lambda: train_rivals(contest, options.only)),
        "controls": (
            contest.seed_folder / "search" / "controls.json",
            lambda: train_controls(contest),
        ),
        "report": (None, lambda: _report(contest, options.processes)),
    }
    for name in options.steps or steps:
        result, step = steps[name]
        if result is None or not result.exists():
            step()


def _report(contest: Contest, processes: int) -> None:
    known = [contest.reference_ns]
    lines = print_report(entries(contest), contest.budget_ms, processes, known)
    document = {
        "budget_ms": contest.budget_ms,
        "request": codec.to_plain(contest.searched()),
        "images": len(contest.dataset.train_labels),
        "test_images": len(contest.dataset.test_labels),
        "target": current_target(1).label(),
        "lines": [asdict(line) for line in lines],
    }
    write_json(contest.seed_folder / "report.json", json.loads(json.dumps(document, default=str)))


def _contest(options: argparse.Namespace, seed: int) -> Contest:
    reference = cifar_reference(options.dataset)
    dataset = _with_part(load_dataset(reference), options.images)
    request = SearchRequest(
        dataset=reference,
        task=dataset.task,
        space="stages",
        channels=options.channels,
        density=options.density,
        pattern=PATTERN,
        budget_ms=options.budget_ms or 1.0,
        recipe="cpu",
    )
    return Contest(folder=options.output, dataset=dataset, request=request, seed=seed)


def _with_part(dataset: Dataset, images: int) -> Dataset:
    """Return the data set with so many training images; the same ones for every seed."""
    examples = Examples(images=dataset.train_images, labels=dataset.train_labels)
    part = choose_part(examples, images, SEED)
    return replace(dataset, train_images=part.images, train_labels=part.labels)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, help="CIFAR-10: official layout or class folders")
    parser.add_argument(
        "--steps", nargs="*", help="of table, widths, search, rivals, controls, report"
    )
    parser.add_argument("--only", default="", help="rivals with this in their label")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--channels", type=int, default=STEM)
    parser.add_argument("--density", type=float, default=DENSITY)
    parser.add_argument("--budget-ms", type=float)
    parser.add_argument("--processes", type=int, default=7, help="that time a file of the report")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    return parser.parse_args()


if __name__ == "__main__":
    main()
