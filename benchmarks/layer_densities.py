"""Densities by layer against one density for all, at the same predicted latency: which is better?

`make bench-densities TABLE=FILE`, with a latency table as `table_error` writes it. One network,
drawn and not searched, is trained twice from each seed, alike until its dense phase is over. Then
either every layer gets the pattern and the density that the prices of the table and its weights
say, so that the upper end of the predicted interval fills the budget; or all get one pattern and
the one density at which pruning by LAMP scores does. The budget is a share of what the dense
network takes. Accuracies are on the whole test set, once; of both files the prediction is printed,
because weights that are trained on move what LAMP keeps.
"""

import argparse
import copy
import json
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from latency.codec import decode
from latency.estimate.lookup_table import TableEstimator
from latency.graph import NetworkGraph
from latency.operator import SparsityPattern
from latency.table import LatencyTable
from search.data.batches import Examples, seeded_generator, split_examples
from search.data.dataset import Dataset
from search.data.datasets import load_dataset
from search.export.export import export_network, sparse_genotype
from search.finalize.choose_layers import layer_planner
from search.finalize.layer_plan import LayerPlan
from search.finalize.prune import prune
from search.finalize.run import Goal
from search.finalize.schedule import schedule_for
from search.finalize.train import AnyNetwork, Split, evaluate, make_network, train_final
from search.layers.sparse import set_pattern
from search.requests import RECIPE_NAMES, SPACE_NAMES, DatasetRef, SearchRequest
from search.space.networks import AnyGenotype, network_graph
from search.space.sampling import random_genotype
from search.space.stage_space import StageSpace

PLANNED, BUDGET = "planned", "budget"
OUTPUT = Path("local") / "layer_densities.json"
PARITY_IMAGES = 8
_BISECTIONS = 12  # of a density


@dataclass(frozen=True, kw_only=True)
class Contest:
    """One network under one budget."""

    request: SearchRequest  # its budget, the pattern of all layers, what one density is planned
    genotype: AnyGenotype
    table: LatencyTable
    dataset: Dataset

    @property
    def graph(self) -> NetworkGraph:
        """The dense network."""
        return network_graph(self.genotype, self.dataset.task)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One training."""

    seed: int
    rule: str  # PLANNED or BUDGET
    accuracy: float  # on all test images
    density: float  # of all prunable weights together
    high_ms: float  # upper end of the interval predicted of the file
    gap: float | None = None  # of the distortion, to the bound of the knapsack


def make_contest(
    table: LatencyTable, request: SearchRequest, share: float, network: int
) -> Contest:
    """Return a drawn network, with `share` of its dense latency as the budget.

    Args:
        table: of the space of the request.
        request: without its budget.
        share: of the upper end of the interval predicted of the dense network.
        network: seed of the draw.
    """
    dataset = load_dataset(request.dataset)
    space, rng = request.search_space(dataset.task), np.random.default_rng(network)
    genotype: AnyGenotype
    if isinstance(space, StageSpace):
        genotype = space.random_genotype(rng, large=0.5)
    else:
        genotype = random_genotype(rng, space.channels, space.cells).with_layers(())
    graph = network_graph(genotype, dataset.task)
    budget_ms = share * TableEstimator(table).predict(graph).high_ms
    return Contest(
        request=replace(request, budget_ms=budget_ms),
        genotype=genotype,
        table=table,
        dataset=dataset,
    )


def run_seed(contest: Contest, seed: int) -> Iterator[Outcome]:
    """Yield both trainings of a seed."""
    request = replace(contest.request, seed=seed, densities=BUDGET)
    planner = layer_planner(request, contest.graph, contest.table)
    assert planner is not None
    densities = []

    def plan(network: nn.Module) -> LayerPlan:
        densities.append(_filling_density(network, contest))
        return planner(network)

    goal = Goal(density=request.density, pattern=request.pattern, seed=seed)
    yield _trained(contest, replace(goal, plan=plan), BUDGET)
    yield _trained(contest, replace(goal, density=densities[-1]), PLANNED)


def _filling_density(network: nn.Module, contest: Contest) -> float:
    """Return the one density at which pruning by LAMP scores fills the budget.

    Raises:
        ValueError: there is none.
    """
    estimator, copied = TableEstimator(contest.table), copy.deepcopy(network)
    set_pattern(copied, contest.request.pattern)
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        prune(copied, middle)
        graph = network_graph(sparse_genotype(copied), contest.dataset.task)  # type: ignore[arg-type]
        if estimator.predict(graph).high_ms <= contest.request.budget_ms:
            low = middle
        else:
            high = middle
    if low == 0.0:
        raise ValueError("no density of all layers alike is within the budget")
    return low


def _trained(contest: Contest, goal: Goal, rule: str) -> Outcome:
    dataset, schedule = contest.dataset, schedule_for(contest.request.recipe)
    network: AnyNetwork = make_network(contest.genotype, dataset.task, goal)
    examples = Examples(images=dataset.train_images, labels=dataset.train_labels)
    generator = seeded_generator(goal.seed, "validation")
    valid, train = split_examples(examples, schedule.valid_fraction, generator)
    with tempfile.TemporaryDirectory() as folder:
        found = train_final(
            network,
            Split(train=train, valid=valid),
            schedule,
            goal,
            checkpoint=Path(folder) / "train.pt",
            report=lambda _event: None,
        )
    test = Examples(images=dataset.test_images, labels=dataset.test_labels)
    estimator = TableEstimator(contest.table)
    file = export_network(network, dataset.train_images[:PARITY_IMAGES], estimator=estimator)
    return Outcome(
        seed=goal.seed,
        rule=rule,
        accuracy=evaluate(network, test),
        density=found.density,
        high_ms=estimator.predict(file.graph).high_ms,
        gap=None if found.plan is None else found.plan.facts["gap"],
    )


def summary(outcomes: Sequence[Outcome]) -> str:
    """Return the mean accuracies, and what the rule `budget` gains seed by seed."""
    of_rule = {
        rule: {one.seed: one.accuracy for one in outcomes if one.rule == rule}
        for rule in (PLANNED, BUDGET)
    }
    gains = [100 * (of_rule[BUDGET][seed] - found) for seed, found in of_rule[PLANNED].items()]
    means = ", ".join(f"{rule} {statistics.fmean(of_rule[rule].values()):.2%}" for rule in of_rule)
    spread = f", deviation {statistics.stdev(gains):.2f}" if len(gains) > 1 else ""
    return (
        f"{means}; gained {statistics.fmean(gains):+.2f} points{spread}, "
        f"by seed {' '.join(f'{gain:+.2f}' for gain in gains)}"
    )


def main() -> None:
    """Train, print, write."""
    options = _parse()
    torch.set_num_threads(1)
    table = decode(options.table.read_bytes(), LatencyTable)
    contest = make_contest(table, _request(options), options.share, options.network)
    dense_ms = contest.request.budget_ms / options.share
    print(
        f"{options.space}, network {options.network}, {contest.table.target.label()}: dense "
        f"{dense_ms:.4f} ms at most, budget {contest.request.budget_ms:.4f} ms, "
        f"{len(contest.dataset.test_labels)} test images"
    )
    outcomes = []
    for seed in range(options.seeds):
        for found in run_seed(contest, seed):
            outcomes.append(found)
            print(
                f"seed {seed} {found.rule:8} accuracy {found.accuracy:7.2%}  weights kept "
                f"{found.density:6.1%}  at most {found.high_ms:.4f} ms",
                flush=True,
            )
    print(summary(outcomes))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    values = {name: str(value) for name, value in vars(options).items()}
    document = {"options": values, "outcomes": [asdict(found) for found in outcomes]}
    options.output.write_text(json.dumps(document, indent=1))
    print(f"written to {options.output}")


def _request(options: argparse.Namespace) -> SearchRequest:
    return SearchRequest(
        dataset=DatasetRef(format="digits", image_size=options.image_size),
        space=options.space,
        channels=options.channels,
        cells=options.cells,
        density=0.25,
        budget_ms=1.0,  # follows from the network
        pattern=options.pattern,
        recipe=options.recipe,
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, required=True, help="file of a latency table")
    parser.add_argument("--space", choices=SPACE_NAMES, default=SPACE_NAMES[0])
    parser.add_argument("--channels", type=int, default=16, help="first cell, or stem of stages")
    parser.add_argument("--cells", type=int, default=5)
    parser.add_argument("--image-size", type=int, default=16)
    parser.add_argument("--network", type=int, default=0, help="seed by which it is drawn")
    parser.add_argument("--share", type=float, default=0.5, help="of the dense latency")
    parser.add_argument("--pattern", type=SparsityPattern, default=SparsityPattern.BLOCK)
    parser.add_argument("--recipe", choices=RECIPE_NAMES, default="quick")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    return parser.parse_args()


if __name__ == "__main__":
    main()
