"""The losses of a short seeded search and training, step by step; `python -m tests.search.engine.golden`.

That command writes them anew into tests/golden/losses.json. Do so when the search is meant to
compute something else, and say why in the commit; a change that should not do that must not need it.
"""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from search.data.batches import Examples
from search.data.dataset import Dataset
from search.data.datasets import load_dataset
from search.engine.recipes import RECIPES
from search.engine.search_loop import SearchData, SearchLoop
from search.engine.search_run import SearchRun
from search.finalize.run import Goal
from search.finalize.schedule import TrainSchedule
from search.finalize.train import Split, make_network, train_final
from search.problems.choice import problem_of
from search.requests import DatasetRef, SearchRequest
from tests.search.engine.small import Events, halve
from tests.search.space.tables import formula_table, some_genotype

STORED = Path(__file__).parents[2] / "golden" / "losses.json"
DIGITS = DatasetRef(format="digits", image_size=8)
# Four epochs of five steps, each sees all images of its half. The density falls in two of them.
RECIPE = replace(
    RECIPES["tiny"],
    supernet_channels=2,
    weights_per_alpha=2,
    batch_size=8,
    dense_epochs=1,
    scores_epochs=2,
    masked_epochs=1,
    steps_per_epoch=5,
)
REQUEST = SearchRequest(
    dataset=DIGITS, channels=4, cells=3, density=0.3, budget_ms=0.1, seed=7, recipe="tiny"
)
# Three steps an epoch, pruned after each of the second.
SCHEDULE = TrainSchedule(
    dense_epochs=1,
    prune_epochs=2,
    tune_epochs=1,
    batch_size=32,
    learning_rate=0.05,
    weight_decay=3e-4,
)

Losses = dict[str, list[float]]


class _Recorder(SearchLoop):
    """Keeps every loss: two of the weights, one of the architecture, and so on."""

    losses: list[float]

    def _finite(self, loss: Tensor) -> float:
        self.losses.append(super()._finite(loss))
        return self.losses[-1]


def search_losses(folder: Path, stop_after: int | None = None) -> list[float]:
    """Return the losses of the search, from its checkpoint in `folder` on where there is one.

    Args:
        folder: for the checkpoint.
        stop_after: epoch after whose checkpoint the search is stopped.
    """
    dataset = load_dataset(DIGITS)
    problem = problem_of(REQUEST, dataset.task)
    run = SearchRun(problem, RECIPE)
    table = formula_table(REQUEST.channels, REQUEST.cells, dataset.task)
    indices = torch.arange(80)
    halves: list[Examples] = [halve(dataset, indices[start::2]) for start in (0, 1)]
    data = SearchData(weights=halves[0], alphas=halves[1])
    loop = _Recorder(run, RECIPE, data, problem.latency(problem.space.estimator(table)))
    loop.losses = []
    try:
        loop.train(folder / "search.pt", Events(stop_after))
    except KeyboardInterrupt:
        assert run.epoch == stop_after
    return loop.losses


def training_losses(folder: Path, stop_after: int | None = None) -> list[float]:
    """Return the mean loss of each epoch of the final training, as `search_losses`."""
    dataset = load_dataset(DIGITS)
    goal = Goal(density=REQUEST.density, pattern=REQUEST.pattern, seed=REQUEST.seed)
    events = Events(stop_after)
    try:
        train_final(
            make_network(some_genotype(8), dataset.task, goal),
            _split(dataset),
            SCHEDULE,
            goal,
            checkpoint=folder / "train.pt",
            report=events.report,
        )
    except KeyboardInterrupt:
        assert events.events[-1]["epoch"] == stop_after
    return [event["train_loss"] for event in events.events]


def _split(dataset: Dataset) -> Split:
    indices = torch.arange(160)
    return Split(train=halve(dataset, indices[:96]), valid=halve(dataset, indices[96:]))


def all_losses(folder: Path) -> Losses:
    """Return the losses of both, without a stop, with one thread."""
    torch.set_num_threads(1)
    return {"search": search_losses(folder), "training": training_losses(folder)}


def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as folder:
        losses = all_losses(Path(folder))
    STORED.parent.mkdir(exist_ok=True)
    STORED.write_text(json.dumps(losses, indent=1) + "\n")


if __name__ == "__main__":
    main()
