"""An existing network fitted to a budget, against what one would have done: `make bench-compress`.

MobileNet-v2 in its CIFAR form, at a half and at a quarter of what its dense file takes in ONNX Runtime:
each layer with a pattern and a density of its own, against one density for all layers, the same plan
with masks at random, fewer channels, and int8. All start from dense parents that were trained as long, are
fine-tuned as long, and are predicted to be within the budget by one table, measured here first. Then the
files of all are timed together, beside the dense one. Steps, each of which leaves files and is not
repeated:

    table     every form that the layers can have, and calibration networks, measured
    budget    the dense file with random weights, measured
    compress  for each share of it: the parent (once), the plan, the fine-tuning
    controls  for each share
    report    all files, measured together; report.json

`--size quick` is a narrow form on digits of 8x8, which shows that all of it works and no more: minutes.
With `--dataset FOLDER` of CIFAR-10 it takes hours on a processor; `--images` and `--recipe` shorten it.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from benchmarks.accuracy_report import Entry, Line, control_entry, print_report
from benchmarks.cifar import choose_part, cifar_reference
from benchmarks.distortions import network_table
from benchmarks.rivals import dense_file
from benchmarks.timed_files import FileTime, time_files
from latency.files import write_atomic
from latency.table import LatencyTable
from search.compress.controls import run_compress_controls
from search.compress.request import CompressRequest, Distortion
from search.compress.request import Mapping as Scheme
from search.compress.stage import Compression, run_compress
from search.data.batches import Examples
from search.data.dataset import Dataset
from search.data.datasets import load_dataset
from search.engine.checkpoint import read_result, write_json
from search.engine.progress import JsonLines
from search.finalize.repair import BudgetInfeasibleError
from search.requests import RECIPE_NAMES, DatasetRef
from search.space.rivals import PARENTS

OUTPUT = Path("local") / "compress"
SEED = 1
COMPRESSED, DENSE = "compressed", "dense parent"
STEPS = ("table", "budget", "compress", "controls", "report")
PRESETS = {"quick": (0.25, "quick"), "full": (1.0, "cpu")}  # width and recipe


@dataclass(frozen=True, kw_only=True)
class Contest:
    """What all steps share."""

    folder: Path
    dataset: Dataset
    request: CompressRequest  # its budget is set share by share

    @property
    def table(self) -> LatencyTable:
        """The measured table."""
        return network_table(self.request, self.dataset, self.folder / "table.json")

    @property
    def dense(self) -> FileTime:
        """What the dense file takes."""
        found = read_result(self.folder / "budget.json")["dense"]
        return FileTime(
            processes_ms=tuple(found["processes_ms"]),
            references_ns=tuple(found["references_ns"]),
            quiet=found["quiet"],
        )

    def share_folder(self, share: float) -> Path:
        """Return where everything of one share is."""
        return self.folder / f"share-{share:g}"

    def at(self, share: float) -> CompressRequest:
        """Return the request with a share of the dense latency as its budget."""
        return replace(self.request, budget_ms=share * self.dense.ms)


def measure_dense(contest: Contest, processes: int) -> None:
    """Write budget.json: how long the dense file takes; weights are drawn, which time does not see."""
    work = contest.folder / "random-weights"
    work.mkdir(parents=True, exist_ok=True)
    progress = JsonLines(sys.stdout, "budget")
    compression = Compression(contest.request, work, contest.dataset, contest.table, progress)
    path = work / "dense.onnx"
    write_atomic(path, dense_file(compression.untrained().cpu().eval()))
    time = time_files({DENSE: path}, processes)[DENSE]
    write_json(contest.folder / "budget.json", {"dense": asdict(time)})
    print(f"{DENSE}: {time} ms")


def compress(contest: Contest, share: float) -> None:
    """Fit the network to a share; its parent is that of another share, if there is one."""
    work = contest.share_folder(share)
    work.mkdir(parents=True, exist_ok=True)
    for other in sorted(contest.folder.glob("share-*/parent.json")):
        for name in ("parent.json", "parent.pt"):
            if not (work / name).exists():
                shutil.copy(other.with_name(name), work / name)
    progress = JsonLines(sys.stdout, f"compress {share:g}")
    try:
        run_compress(contest.at(share), work, contest.dataset, contest.table, progress)
    except BudgetInfeasibleError as error:
        print(f"{share:g} of the dense latency: {error}")


def controls(contest: Contest, share: float) -> None:
    """Train the controls of a share."""
    progress = JsonLines(sys.stdout, f"controls {share:g}")
    run_compress_controls(
        contest.at(share), contest.share_folder(share), contest.dataset, contest.table, progress
    )


def entries(contest: Contest, share: float) -> list[Entry]:
    """Return the compressed network, its dense parent and its controls, as files."""
    work = contest.share_folder(share)
    trained, parent = read_result(work / "train.json"), read_result(work / "parent.json")
    compression = Compression(
        contest.at(share), work, contest.dataset, contest.table, JsonLines(sys.stdout, "report")
    )
    write_atomic(work / "dense.onnx", dense_file(compression.parent().cpu()))
    found = [
        Entry(
            label=COMPRESSED,
            model=work / "model.onnx",
            accuracy=trained["accuracy"],
            nonzeros=trained["nonzeros"],
        ),
        Entry(
            label=DENSE,
            model=work / "dense.onnx",
            accuracy=parent["accuracy"],
            nonzeros=parent["nonzeros"],
        ),
    ]
    lines = read_result(work / "controls.json")["controls"]
    return found + [control_entry(work, line) for line in lines if "path" in line]


def report(contest: Contest, share: float, processes: int) -> None:
    """Measure the files of a share, print them beside their accuracies, write report.json."""
    work, dense = contest.share_folder(share), contest.dense
    budget_ms = contest.at(share).budget_ms
    print(f"\n{contest.request.network}, {share:g} of the dense file's {dense.ms:.4f} ms")
    lines = print_report(entries(contest, share), budget_ms, processes, dense.references_ns)
    predicted = read_result(work / "compress.json")["prediction"]
    for line in lines:
        if line.label != DENSE:
            print(f"  {line.label:24} {_within(line, budget_ms)}")
    ours = next(line for line in lines if line.label == COMPRESSED)
    missed = predicted["latency_ms"] / ours.time.ms - 1.0
    print(f"  predicted {predicted['latency_ms']:.4f} ms, which is {missed:+.1%} of the measured")
    print(f"  {read_result(work / 'controls.json')['verdict']}")
    document = {
        "share": share,
        "budget_ms": budget_ms,
        "prediction": predicted,
        "target": contest.table.target.label(),
        "images": len(contest.dataset.train_labels),
        "test_images": len(contest.dataset.test_labels),
        "plan": read_result(work / "compress.json")["plan"],
        "lines": [asdict(line) for line in lines],
    }
    write_json(work / "report.json", json.loads(json.dumps(document, default=str)))


def _within(line: Line, budget_ms: float) -> str:
    over = line.time.ms / budget_ms - 1.0
    return "within the budget" if over <= 0.0 else f"{over:.1%} over the budget"


def main() -> None:
    """Run the steps that are asked for."""
    options = _parse()
    if options.dataset is None and options.size == "full":
        print("SKIPPED: say where CIFAR-10 is with --dataset FOLDER, or ask for --size quick.")
        return
    torch.set_num_threads(1)
    contest = _contest(options)
    contest.folder.mkdir(parents=True, exist_ok=True)
    for name in options.steps or STEPS:
        _run(contest, options, name)


def _run(contest: Contest, options: argparse.Namespace, name: str) -> None:
    whole: Mapping[str, Callable[[], object]] = {
        "table": lambda: contest.table,
        "budget": lambda: measure_dense(contest, options.processes),
    }
    if name in whole:
        if not (contest.folder / f"{name}.json").exists():
            whole[name]()
        return
    each: Mapping[str, Callable[[float], None]] = {
        "compress": lambda share: compress(contest, share),
        "controls": lambda share: controls(contest, share),
        "report": lambda share: report(contest, share, options.processes),
    }
    for share in options.shares:
        folder = contest.share_folder(share)
        possible = name == "compress" or (folder / "compress.json").exists()
        if possible and (name == "report" or not (folder / f"{name}.json").exists()):
            each[name](share)


def _contest(options: argparse.Namespace) -> Contest:
    width, recipe = PRESETS[options.size]
    digits = DatasetRef(format="digits", image_size=8)
    request = CompressRequest(
        dataset=digits if options.dataset is None else cifar_reference(options.dataset),
        network=options.network,
        width=options.width or width,
        recipe=options.recipe or recipe,
        budget_ms=1.0,
        distortion=options.distortion,
        mapping=options.mapping,
        seeds=options.seeds,
    )
    dataset = load_dataset(request.dataset)
    if options.images is not None:
        examples = Examples(images=dataset.train_images, labels=dataset.train_labels)
        part = choose_part(examples, options.images, SEED)
        dataset = replace(dataset, train_images=part.images, train_labels=part.labels)
    folder = options.output / f"{options.size}-{request.network}-{request.width:g}"
    return Contest(folder=folder, dataset=dataset, request=request)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, help="CIFAR-10: official layout or class folders")
    parser.add_argument("--size", choices=tuple(PRESETS), default="full")
    parser.add_argument("--steps", nargs="*", choices=STEPS)
    parser.add_argument("--network", choices=tuple(PARENTS), default="mobilenet-v2")
    parser.add_argument("--width", type=float)
    parser.add_argument("--recipe", choices=RECIPE_NAMES)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.5, 0.25])
    parser.add_argument("--distortion", type=Distortion, default=Distortion.ENERGY)
    parser.add_argument("--mapping", type=Scheme, default=Scheme.SEARCH)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--images", type=int, help="training images (default: all)")
    parser.add_argument("--processes", type=int, default=5, help="each file is timed in")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    return parser.parse_args()


if __name__ == "__main__":
    main()
