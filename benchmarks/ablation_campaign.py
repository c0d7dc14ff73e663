"""One line of the ablations: a search, a training of what it finds, and a judgement."""

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from latency.operator import SparsityPattern
from latency.table import LatencyTable
from search.data.batches import Examples, seeded_generator, split_examples
from search.data.dataset import Dataset
from search.engine.checkpoint import read_result
from search.engine.recipes import SearchRecipe
from search.engine.search_stage import RESULT, Departures, search_alphas
from search.finalize.derive import Alphas
from search.finalize.run import Goal
from search.finalize.schedule import TrainSchedule
from search.finalize.train import Split, evaluate, make_network, train_final
from search.problems.cells import CellProblem
from search.requests import DatasetRef, SearchRequest
from search.space.dass_cells import build_graph
from search.space.genotype import Genotype
from search.space.planned_space import PlannedSpace
from search.space.sampling import WEIGHTED
from search.space.sparsity import Sparsity

PATTERN = SparsityPattern.BLOCK
_HEAVY = "sep_conv_5x5"


@dataclass(frozen=True, kw_only=True)
class Line:
    """What is compared: how a network is searched, and how it is trained."""

    recipe: SearchRecipe
    schedule: TrainSchedule

    @property
    def digest(self) -> str:
        """A name for exactly these settings."""
        return _digest(asdict(self))


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What all lines have in common."""

    dataset: DatasetRef
    table: str  # sha256 of its file
    channels: int
    cells: int
    density: float
    budget_share: float  # of the way from the cheapest network to one of largest kernels only


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One line with one seed, finished."""

    line: str
    settings: str  # digest of the line
    seed: int
    protocol: Protocol
    accuracy: float  # on all test images
    valid_accuracy: float  # of the chosen epoch
    budget_ms: float
    latency_ms: float  # predicted
    high_ms: float  # upper end of its interval, which the budget is for
    light: float  # share of skips and pools in the cells of the alphas alone
    repaired: bool  # operations were changed for the budget
    genotype: dict[str, Any]
    search_minutes: float  # in this process
    train_minutes: float


class Campaign:
    """Runs lines on one table and data set.

    Args:
        protocol: of all lines.
        table: of the target.
        dataset: what the protocol names.
        work: folder for checkpoints and alphas; what is there is not run again.
    """

    def __init__(
        self, protocol: Protocol, table: LatencyTable, dataset: Dataset, work: Path
    ) -> None:
        self.protocol, self._table, self._dataset = protocol, table, dataset
        self._work = work / _digest(asdict(protocol))
        self._space = PlannedSpace(
            channels=protocol.channels,
            cells=protocol.cells,
            task=dataset.task,
            sparsity=Sparsity(pattern=PATTERN, density=protocol.density),
        )
        self._estimator = self._space.estimator(table)

    @cached_property
    def budget_ms(self) -> float:
        """What the upper end of the predicted interval may be."""
        space = self._space
        low = space.smallest(self._estimator).high_ms
        heavy = tuple((_HEAVY, source) for source in (0, 1) * 4)
        largest = Genotype(normal=heavy, reduce=heavy, channels=space.channels, cells=space.cells)
        high = self._estimator.predict(build_graph(largest, space.task)).high_ms
        return low + self.protocol.budget_share * (high - low)

    def run(self, name: str, line: Line, seed: int) -> Outcome:
        """Search, derive, fit to the budget, train, and count right answers on the test images."""
        started = time.perf_counter()
        problem = self._problem(seed)
        alphas = self._alphas(name, problem, line.recipe)
        derived = genotype = problem.derive(alphas)
        if line.recipe.repaired:
            genotype = problem.fit(alphas, self._estimator, self.budget_ms).genotype
        searched = time.perf_counter()
        accuracy, valid_accuracy = self._train(name, line, genotype, seed)
        prediction = self._estimator.predict(build_graph(genotype, self._dataset.task))
        return Outcome(
            line=name,
            settings=line.digest,
            seed=seed,
            protocol=self.protocol,
            accuracy=accuracy,
            valid_accuracy=valid_accuracy,
            budget_ms=self.budget_ms,
            latency_ms=prediction.latency_ms,
            high_ms=prediction.high_ms,
            light=light_share(derived),
            repaired=(genotype.normal, genotype.reduce) != (derived.normal, derived.reduce),
            genotype=genotype.to_dict(),
            search_minutes=(searched - started) / 60,
            train_minutes=(time.perf_counter() - searched) / 60,
        )

    def _problem(self, seed: int) -> CellProblem:
        protocol = self.protocol
        request = SearchRequest(
            dataset=protocol.dataset,
            channels=protocol.channels,
            cells=protocol.cells,
            density=protocol.density,
            pattern=PATTERN,
            budget_ms=self.budget_ms,
            seed=seed,
        )
        return CellProblem(request=request, space=self._space)

    def _alphas(self, name: str, problem: CellProblem, recipe: SearchRecipe) -> dict[str, Alphas]:
        """Return the alphas of a search; lines that differ in their training only have one."""
        seed = problem.request.seed
        folder = self._work / f"search-{_digest(asdict(recipe))}-{seed}"
        if not (folder / RESULT).exists():
            progress = _Printed(f"{name}, seed {seed}, search")
            departures = Departures(recipe=recipe)
            search_alphas(problem, folder, self._dataset, [self._table], progress, departures)
        found = read_result(folder / RESULT)["alphas"]
        return {kind: np.array(rows, dtype=float) for kind, rows in found.items()}

    def _train(self, name: str, line: Line, genotype: Genotype, seed: int) -> tuple[float, float]:
        """Return the accuracy of the trained network on test and on validation images."""
        dataset = self._dataset
        goal = Goal(density=self.protocol.density, pattern=PATTERN, seed=seed)
        network = make_network(genotype, dataset.task, goal)
        examples = Examples(images=dataset.train_images, labels=dataset.train_labels)
        generator = seeded_generator(seed, "validation")
        valid, train = split_examples(examples, line.schedule.valid_fraction, generator)
        trained = train_final(
            network,
            Split(train=train, valid=valid),
            line.schedule,
            goal,
            checkpoint=self._work / f"train-{line.digest}-{seed}" / "train.pt",
            report=_Printed(f"{name}, seed {seed}, training").report,
        )
        test = Examples(images=dataset.test_images, labels=dataset.test_labels)
        return evaluate(network, test), trained.valid_accuracy


def light_share(genotype: Genotype) -> float:
    """Return the share of edges of both cells that have no weights to be trained."""
    edges = [*genotype.normal, *genotype.reduce]
    return sum(operation not in WEIGHTED for operation, _ in edges) / len(edges)


class _Printed:
    """Progress as one line of text for each epoch."""

    def __init__(self, what: str) -> None:
        self._what = what

    def report(self, event: dict[str, Any]) -> None:
        """Print the epoch."""
        print(
            f"  {self._what}: epoch {event['epoch']}/{event['epochs']}, loss "
            f"{event['train_loss']:.3f}, accuracy {event['valid_accuracy']:.3f}, density "
            f"{event['density']:.3f}",
            flush=True,
        )


def _digest(values: dict[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
