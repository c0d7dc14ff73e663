"""The published cells against sparse MobileNet-v2 and ResNet-18: accuracy under the same pruner.

`make bench-paper`, with CIFAR-10 given by `--dataset FOLDER`. For each pruning ratio of the paper its
own cell and both rivals are trained alike: dense, then scores that choose as many weights in every
layer, then masked (recipe `dass-paper`). A processor affords a part of it only: fewer images,
narrower networks, fewer cells, few epochs, as many for each network. All of that is printed;
accuracies are on the whole test set, once. Each finished training is a line of a file and is not
run again.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.cifar import choose_part, cifar_reference
from latency.graph import NetworkGraph
from latency.operator import SparsityPattern
from search.data.batches import Examples
from search.data.dataset import Dataset
from search.data.datasets import load_dataset
from search.engine.device import training_device
from search.finalize.run import Goal
from search.finalize.schedule import TRAIN_SCHEDULES, TrainSchedule
from search.finalize.train import Split, evaluate, make_network, split_training, train_final
from search.layers.sparse import sparse_layers
from search.space.dass_cells import MERGED_KERNEL
from search.space.networks import AnyGenotype, network_graph
from search.space.published import PERCENTAGES, SIZES, published_genotype
from search.space.rivals import RIVALS

OUTPUT = Path("local") / "paper_accuracy.jsonl"
CELLS = "dass"
MINUTES = 8.0  # that one training on a processor may take
_PAPER = TRAIN_SCHEDULES["dass-paper"]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What all trainings of a comparison have in common."""

    images: int  # for training and for choosing the epoch
    width: float  # factor on the channels of every network
    channels: int  # of the first published cell, before that factor
    cells: int  # how many of them
    epochs: tuple[int, int, int]  # dense, scores, masked
    batch_size: int

    @property
    def schedule(self) -> TrainSchedule:
        """The published schedule, shortened."""
        dense, scores, masked = self.epochs
        return replace(
            _PAPER,
            dense_epochs=dense,
            prune_epochs=scores,
            tune_epochs=masked,
            batch_size=self.batch_size,
        )


# On one core of a busy host a step of the slowest, the 90 % cell, took 1.0 s of processor time: with
# 140 steps an epoch, 9.5 minutes in all; MobileNet-v2 3.3, ResNet-18 2.5. Alone it was not timed.
PROTOCOL = Protocol(
    images=10_000,
    width=0.25,
    channels=SIZES["tiny"][0],
    cells=8,
    epochs=(2, 1, 1),
    batch_size=64,
)
# What the authors ran, as far as it is known; a thing for GPUs.
PAPER_LENGTH = Protocol(
    images=50_000,
    width=1.0,
    channels=SIZES["small"][0],
    cells=SIZES["small"][1],
    epochs=(_PAPER.dense_epochs, _PAPER.prune_epochs, _PAPER.tune_epochs),
    batch_size=_PAPER.batch_size,
)


@dataclass(frozen=True, kw_only=True)
class Contest:
    """One training: which network, how sparse, which seed."""

    network: str  # CELLS or a name of RIVALS
    percent: int  # of the weights that are removed
    seed: int

    @property
    def label(self) -> str:
        """Such as `dass-99`."""
        return f"{self.network}-{self.percent}"

    def genotype(self, protocol: Protocol) -> AnyGenotype:
        """Return the network, dense, in the size of the protocol."""
        if self.network != CELLS:
            return RIVALS[self.network](protocol.width)
        channels = round(protocol.channels * protocol.width)
        return replace(published_genotype(self.percent), channels=channels, cells=protocol.cells)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A finished training: one line of the file."""

    contest: Contest
    protocol: Protocol
    dataset: str  # sha256
    weights: int  # that may be pruned
    nonzeros: int
    macs: int  # of the dense network
    accuracy: float  # on all test images
    valid_accuracy: float  # of the chosen epoch
    minutes: float  # of training and choosing; waiting for measurements on this host included
    device: str


def contests(only: str, seeds: int) -> list[Contest]:
    """Return the trainings whose label has `only` in it."""
    found = [
        Contest(network=network, percent=percent, seed=seed)
        for seed in range(seeds)
        for percent in PERCENTAGES
        for network in (CELLS, *RIVALS)
    ]
    return [contest for contest in found if only in contest.label]


def run_contest(contest: Contest, protocol: Protocol, dataset: Dataset, digest: str) -> Outcome:
    """Train one network and count its right answers on the whole test set."""
    goal = Goal(
        density=1.0 - contest.percent / 100,
        pattern=SparsityPattern.UNSTRUCTURED,
        seed=contest.seed,
    )
    device, task = dataset.train_images.device, dataset.task
    genotype = contest.genotype(protocol)
    network = make_network(genotype, task, goal, device)
    split = _split(dataset, protocol, contest.seed)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        trained = train_final(
            network,
            split,
            protocol.schedule,
            goal,
            checkpoint=Path(folder) / "train.pt",
            report=_reporter(contest),
        )
    minutes = (time.perf_counter() - started) / 60
    layers = sparse_layers(network).values()
    return Outcome(
        contest=contest,
        protocol=protocol,
        dataset=digest,
        weights=sum(layer.weight.numel() for layer in layers),
        nonzeros=sum(layer.kept_weights() for layer in layers),
        macs=count_macs(network_graph(genotype, task)),
        accuracy=evaluate(
            network, Examples(images=dataset.test_images, labels=dataset.test_labels)
        ),
        valid_accuracy=trained.valid_accuracy,
        minutes=minutes,
        device=str(device),
    )


def count_macs(graph: NetworkGraph) -> int:
    """Return the multiply-adds of a dense network, a factorized reduce as its two convolutions."""
    return sum(
        spec.macs // (MERGED_KERNEL**2 if spec.kernel == MERGED_KERNEL else 1)
        for spec in graph.operators
    )


def _split(dataset: Dataset, protocol: Protocol, seed: int) -> Split:
    """Return the chosen training images in two; the same ones for every network of a seed."""
    examples = Examples(images=dataset.train_images, labels=dataset.train_labels)
    examples = choose_part(examples, protocol.images, seed)
    return split_training(examples, seed, protocol.schedule.valid_fraction)


def _reporter(contest: Contest) -> Callable[[dict[str, Any]], None]:
    def report(event: dict[str, Any]) -> None:
        print(
            f"  {contest.label} seed {contest.seed}: epoch {event['epoch']}/{event['epochs']}, "
            f"loss {event['train_loss']:.3f}, accuracy {event['valid_accuracy']:.3f}, "
            f"density {event['density']:.3f}",
            flush=True,
        )

    return report


def read_outcomes(path: Path) -> list[Outcome]:
    """Return the finished trainings of a file, or none where there is no file."""
    if not path.exists():
        return []
    return [_outcome(json.loads(line)) for line in path.read_text().splitlines()]


def _outcome(values: dict[str, Any]) -> Outcome:
    protocol = values["protocol"]
    return Outcome(
        **{
            **values,
            "contest": Contest(**values["contest"]),
            "protocol": Protocol(**{**protocol, "epochs": tuple(protocol["epochs"])}),
        }
    )


def run_missing(
    wanted: Sequence[Contest], protocol: Protocol, dataset: Dataset, output: Path
) -> Iterator[Outcome]:
    """Yield the outcome of every contest: from the file where it is there, else trained now."""
    digest = dataset.sha256()
    known = {
        found.contest: found
        for found in read_outcomes(output)
        if (found.protocol, found.dataset) == (protocol, digest)
    }
    for contest in wanted:
        outcome = known.get(contest)
        if outcome is None:
            outcome = run_contest(contest, protocol, dataset, digest)
            output.parent.mkdir(parents=True, exist_ok=True)
            with output.open("a") as file:
                file.write(json.dumps(asdict(outcome)) + "\n")
        yield outcome


def main() -> None:
    """Train what is missing and print the table."""
    options = _parse()
    if options.dataset is None:
        print("SKIPPED: no accuracy was measured. Say where CIFAR-10 is with --dataset FOLDER.")
        return
    torch.set_num_threads(options.threads)
    protocol = PAPER_LENGTH if options.paper_length else _chosen(options)
    dataset = load_dataset(cifar_reference(options.dataset)).to(training_device(options.device))
    print(
        f"{protocol.images} training images, width {protocol.width:g} of {protocol.channels} "
        f"channels, {protocol.cells} cells, epochs {protocol.epochs} (dense, scores, masked), "
        f"{len(dataset.test_labels)} test images"
    )
    outcomes = list(
        run_missing(contests(options.only, options.seeds), protocol, dataset, options.output)
    )
    print_table(outcomes)
    if not options.paper_length:
        epochs = " + ".join(map(str, PAPER_LENGTH.epochs))
        print(f"paper-length ({epochs} epochs, full width): not run (needs a GPU)")


def print_table(outcomes: Sequence[Outcome]) -> None:
    """Print a line for each training."""
    heading = f"{'network':20}{'seed':>5}{'weights':>11}{'non-zeros':>11}{'M MACs':>8}"
    print(f"\n{heading}{'accuracy':>10}{'minutes':>9}")
    for found in sorted(outcomes, key=lambda o: (-o.contest.percent, o.contest.label)):
        over = "  over the time" if found.device == "cpu" and found.minutes > MINUTES else ""
        print(
            f"{found.contest.label:20}{found.contest.seed:5}{found.weights:11,}"
            f"{found.nonzeros:11,}{found.macs / 1e6:8.1f}{found.accuracy:10.2%}"
            f"{found.minutes:9.1f}{over}"
        )


def _chosen(options: argparse.Namespace) -> Protocol:
    return replace(
        PROTOCOL,
        images=options.images,
        width=options.width,
        cells=options.cells,
        epochs=tuple(options.epochs),
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, help="CIFAR-10: official layout or class folders")
    parser.add_argument("--only", default="", help="networks with this in their label")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--images", type=int, default=PROTOCOL.images)
    parser.add_argument("--width", type=float, default=PROTOCOL.width)
    parser.add_argument("--cells", type=int, default=PROTOCOL.cells)
    parser.add_argument("--epochs", type=int, nargs=3, default=PROTOCOL.epochs)
    parser.add_argument("--paper-length", action="store_true", help="on a GPU: days")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    return parser.parse_args()


if __name__ == "__main__":
    main()
