"""Which estimate of what layers lose ranks whole plans best? `make bench-distortions`.

A network is trained dense. Plans are drawn that fill a budget, at several shares of the way from the
fastest plan to the dense network, and pruned at one shot; a part of them is fine-tuned briefly too. For each estimate the
sum over the layers of a plan is held against the loss of the whole plan on the test images: by the
correlation of ranks among the plans of one budget, in the mean over the budgets. Then the plans that
each estimate and each mapping chooses, by the same losses and accuracies. The table is measured on
this machine first, or read from where an earlier run has left it.
"""

import argparse
import copy
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.cifar import choose_part, cifar_reference
from benchmarks.drawn_plans import drawn_plan
from benchmarks.network_table import measure_network
from benchmarks.ranks import kendall, spearman
from latency.exchange.table_file import TableFile, read_table, write_table
from latency.profiler.device import current_target
from latency.table import LatencyTable
from search.compress.calibration import Calibration
from search.compress.distortions import ESTIMATES
from search.compress.planner import Planner
from search.compress.request import CompressRequest, Distortion
from search.compress.request import Mapping as Scheme
from search.compress.stage import Compression
from search.data.batches import Examples
from search.data.dataset import Dataset
from search.data.datasets import load_dataset
from search.engine.checkpoint import read_result, write_json
from search.finalize.choose_layers import plan_of
from search.finalize.densities import AllocatedDensities
from search.finalize.layer_distortion import LayerDistortion
from search.finalize.repair import BudgetInfeasibleError
from search.finalize.train import AnyNetwork, evaluate
from search.requests import RECIPE_NAMES, DatasetRef
from search.space.networks import network_graph
from search.space.rivals import PARENTS

OUTPUT = Path("local") / "distortions"
SEED = 1
JUDGES = 1000  # test images at most, that plans are judged on in a single batch
TRUTHS = ("loss", "error", "tuned_loss", "tuned_error")


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One plan, what estimates say of it, and what became of the network."""

    share: float  # of the way from the fastest plan to the dense network, that the budget leaves
    label: str  # "drawn", or by what it was chosen
    predicted_ms: float
    sums: dict[str, float]  # over the layers, by estimate
    loss: float  # of the whole plan at one shot, on the test images
    error: float  # fraction of them that is classified wrongly
    tuned_loss: float | None = None  # the same after a short fine-tuning
    tuned_error: float | None = None


class Contest:
    """One trained network and the images that it is judged on.

    Args:
        compression: its parent is trained here, if it is not yet.
    """

    def __init__(self, compression: Compression) -> None:
        self.compression = compression
        self.parent: AnyNetwork = copy.deepcopy(compression.parent())
        dataset = compression.dataset
        test = Examples(images=dataset.test_images, labels=dataset.test_labels)
        self.test = test.sample(JUDGES)
        self.calibration = Calibration(self.parent, compression.planner.examples)
        self.losses: Mapping[Distortion, Mapping[str, LayerDistortion]] = {
            name: estimate(self.calibration) for name, estimate in ESTIMATES.items()
        }
        self.dense_ms = compression.estimator.predict(compression.graph).high_ms
        self.fastest_ms = self._fastest_ms()

    def planner(self, share: float) -> Planner:
        """Return what plans under a share of the way from the fastest plan to the dense network."""
        budget_ms = self.fastest_ms + share * (self.dense_ms - self.fastest_ms)
        return replace(self.compression.planner, budget_ms=budget_ms)

    def drawn(self, share: float, count: int) -> Iterator[AllocatedDensities]:
        """Yield plans that nobody has chosen."""
        rng = np.random.default_rng(SEED)
        planner, energies = self.planner(share), self.losses[Distortion.ENERGY]
        for _ in range(count):
            yield drawn_plan(planner, energies, rng)

    def chosen(self, share: float) -> Iterator[tuple[str, AllocatedDensities]]:
        """Yield the plan of each estimate, and of each mapping by the estimate of the request."""
        planner = self.planner(share)
        for name in Distortion:
            yield f"{name} search", replace(planner, distortion=name).allocate(self.calibration)
        for scheme in (Scheme.RULE, Scheme.UNIFORM, Scheme.EVOLUTION):
            found = replace(planner, mapping=scheme).allocate(self.calibration)
            yield f"{planner.distortion} {scheme}", found

    def judged(self, share: float, label: str, plan: AllocatedDensities, *, tune: bool) -> Judged:
        """Return what a plan does to the network."""
        judge = Calibration(self.parent, self.test)
        found = Judged(
            share=share,
            label=label,
            predicted_ms=plan.prediction.latency_ms,
            sums={name.value: _sum(plan, losses) for name, losses in self.losses.items()},
            loss=judge.loss(plan.chosen),
            error=judge.error(plan.chosen),
        )
        if not tune:
            return found
        loss, error = self._tuned(plan, share)
        return replace(found, tuned_loss=loss, tuned_error=error)

    def _fastest_ms(self) -> float:
        try:
            replace(self.compression.planner, budget_ms=0.01 * self.dense_ms).check(self.parent)
        except BudgetInfeasibleError as error:
            return error.smallest_feasible_ms
        raise SystemExit("a plan takes a hundredth of the dense network: what is the table of?")

    def _tuned(self, plan: AllocatedDensities, share: float) -> tuple[float, float]:
        """Return loss and error on the test images of the network pruned and fine-tuned."""
        layers = plan_of(self.parent, plan, self.planner(share).budget_ms)
        goal = replace(self.compression.dense, plan=lambda _network: layers)
        with tempfile.TemporaryDirectory() as folder:
            here = self.compression.elsewhere(Path(folder), Quiet())
            network = here.prune(self.parent, goal)
        with torch.no_grad():
            logits = network(self.test.images)
        return float(F.cross_entropy(logits, self.test.labels)), 1.0 - evaluate(network, self.test)


class Quiet:
    """Progress that nobody hears of."""

    def report(self, event: dict[str, object]) -> None:
        """Do nothing."""


def _sum(plan: AllocatedDensities, losses: Mapping[str, LayerDistortion]) -> float:
    return sum(losses[one.layer].distortion(one.pattern, one.density) for one in plan.layers)


def correlations(judged: Sequence[Judged], truth: str) -> dict[str, tuple[float, float]]:
    """Return Spearman's and Kendall's coefficient of each estimate, in the mean over the budgets.

    Args:
        judged: drawn plans.
        truth: one of TRUTHS; plans without it do not count.
    """
    of_share: dict[float, list[Judged]] = {}
    for one in judged:
        if getattr(one, truth) is not None:
            of_share.setdefault(one.share, []).append(one)
    found = {}
    for name in judged[0].sums:
        pairs = [
            ([one.sums[name] for one in plans], [getattr(one, truth) for one in plans])
            for plans in of_share.values()
        ]
        found[name] = (
            statistics.fmean(spearman(*pair) for pair in pairs),
            statistics.fmean(kendall(*pair) for pair in pairs),
        )
    return found


def network_table(request: CompressRequest, dataset: Dataset, path: Path) -> LatencyTable:
    """Return the table of the network of a request, measured if the file is not there."""
    if not path.exists():
        make = PARENTS[request.network]
        widths = dict.fromkeys(make(request.width * factor) for factor in (1.0, 0.75, 0.5, 0.25))
        graphs = [network_graph(genotype, dataset.task) for genotype in widths]
        table = measure_network(graphs, current_target(1))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, TableFile(table=table))
    return read_table(path).table


def main() -> None:
    """Train, draw, judge, print, write."""
    options = _parse()
    torch.set_num_threads(1)
    request = _request(options)
    dataset = load_dataset(request.dataset)
    if options.images:
        examples = Examples(images=dataset.train_images, labels=dataset.train_labels)
        part = choose_part(examples, options.images, SEED)
        dataset = replace(dataset, train_images=part.images, train_labels=part.labels)
    table = network_table(request, dataset, options.output / "table.json")
    work = options.output / f"{request.network}-{request.width:g}"
    work.mkdir(parents=True, exist_ok=True)
    Compression(request, work, dataset, table, Quiet()).parent()
    briefly = replace(request, recipe=options.tuning)  # the same parent
    contest = Contest(Compression(briefly, work, dataset, table, Quiet()))
    parent = read_result(work / "parent.json")
    print(
        f"{request.network} x{request.width:g}, {table.target.label()}: dense at most "
        f"{contest.dense_ms:.4f} ms, fastest plan {contest.fastest_ms:.4f} ms; parent "
        f"{parent['accuracy']:.2%}, loss {contest.calibration.loss({}):.4f} on the calibration",
        flush=True,
    )
    drawn = list(_drawn(contest, options))
    for truth in TRUTHS:
        if any(getattr(one, truth) is not None for one in drawn):
            _print_correlations(drawn, truth)
    chosen = list(_chosen(contest, options))
    document = {
        "options": {name: str(value) for name, value in vars(options).items()},
        "dense_ms": contest.dense_ms,
        "drawn": [asdict(one) for one in drawn],
        "chosen": [asdict(one) for one in chosen],
    }
    write_json(options.output / "distortions.json", document)


def _drawn(contest: Contest, options: argparse.Namespace) -> Iterator[Judged]:
    for share in options.shares:
        for number, plan in enumerate(contest.drawn(share, options.plans)):
            yield contest.judged(share, "drawn", plan, tune=number < options.tuned)


def _chosen(contest: Contest, options: argparse.Namespace) -> Iterator[Judged]:
    for share in options.shares:
        for label, plan in contest.chosen(share):
            one = contest.judged(share, label, plan, tune=options.tuned > 0)
            tuned = (
                "" if one.tuned_loss is None else f"{one.tuned_loss:8.4f} {one.tuned_error:7.2%}"
            )
            print(
                f"{share:4.2f} {label:24} {one.predicted_ms:.4f} ms, at one shot loss "
                f"{one.loss:7.4f} error {one.error:7.2%}; tuned {tuned}",
                flush=True,
            )
            yield one


def _print_correlations(drawn: Sequence[Judged], truth: str) -> None:
    count = sum(getattr(one, truth) is not None for one in drawn)
    print(f"{truth} of {count} plans: Spearman, Kendall")
    for name, (rho, tau) in correlations(drawn, truth).items():
        print(f"  {name:14} {rho:6.2f} {tau:6.2f}", flush=True)


def _request(options: argparse.Namespace) -> CompressRequest:
    digits = DatasetRef(format="digits", image_size=8)
    return CompressRequest(
        dataset=digits if options.dataset is None else cifar_reference(options.dataset),
        network=options.network,
        width=options.width,
        budget_ms=1.0,  # each plan has a budget of its own
        distortion=options.distortion,
        recipe=options.recipe,
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, help="CIFAR-10 (default: digits of 8x8)")
    parser.add_argument("--images", type=int, help="training images (default: all)")
    parser.add_argument("--network", choices=tuple(PARENTS), default="resnet-20")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--recipe", choices=RECIPE_NAMES, default="quick")
    parser.add_argument("--tuning", choices=RECIPE_NAMES, default="tiny", help="of the fine-tuning")
    parser.add_argument("--distortion", type=Distortion, default=Distortion.ENERGY)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.5, 0.2])
    parser.add_argument("--plans", type=int, default=30, help="drawn for each share")
    parser.add_argument("--tuned", type=int, default=30, help="of them, that are fine-tuned")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    return parser.parse_args()


if __name__ == "__main__":
    main()
