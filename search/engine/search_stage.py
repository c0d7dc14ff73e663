"""The stage `search`: from a request to architecture parameters in DIR/search.json."""

from pathlib import Path
from typing import Any

from latency.table import LatencyTable
from search.data.batches import Examples, seeded_generator, split_examples
from search.data.dataset import Dataset
from search.engine.checkpoint import write_json
from search.engine.progress import Progress
from search.engine.recipes import SearchRecipe, recipe_named
from search.engine.search_loop import SearchData, SearchLoop
from search.engine.search_run import SearchRun
from search.layers.sparse import density_of
from search.objective.latency_term import ExpectedLatency
from search.requests import SearchRequest
from search.space.cell_costs import CellCosts
from search.space.cell_variants import CellSize
from search.space.primitives import OPERATIONS
from search.space.task import TaskShape
from search.supernet.architecture import NODE_EDGES

RESULT = "search.json"
CHECKPOINT = "checkpoints/search.pt"


def run_search(
    request: SearchRequest,
    work: Path,
    dataset: Dataset,
    table: LatencyTable | None,
    progress: Progress,
) -> dict[str, Any]:
    """Run the search, or go on from its checkpoint, and write its result.

    Args:
        request: what is searched.
        work: holds checkpoints/search.pt while it runs and search.json at the end.
        dataset: only its training images are used.
        table: of the target; without one there is no latency constraint.
        progress: hears of each epoch.

    Returns:
        What search.json holds: the alphas by kind of cell, the history, what the supernet reached.

    Raises:
        ValueError: too few images for two halves, or a loss that is not finite.
    """
    recipe = recipe_named(request.recipe)
    run = SearchRun(request, recipe, dataset.task, dataset.train_images.device)
    latency = None if table is None else expected_latency(request, table, dataset.task)
    loop = SearchLoop(run, recipe, search_halves(dataset, request.seed), latency)
    loop.train(work / CHECKPOINT, progress)
    result = _result(run, recipe, loop)
    write_json(work / RESULT, result)
    return result


def expected_latency(
    request: SearchRequest, table: LatencyTable, task: TaskShape
) -> ExpectedLatency:
    """Return the latency term for the network that `request` exports, priced from `table`."""
    estimator = request.space(task).estimator(table)
    size = CellSize(channels=request.channels, cells=request.cells, task=task)
    return ExpectedLatency(CellCosts(estimator, size), upper=True)


def search_halves(dataset: Dataset, seed: int) -> SearchData:
    """Return the training images in two: for the weights of a search and for its architecture.

    Raises:
        ValueError: there are too few images for two halves.
    """
    examples = Examples(images=dataset.train_images, labels=dataset.train_labels)
    weights, alphas = split_examples(examples, 0.5, seeded_generator(seed, "halves"))
    return SearchData(weights=weights, alphas=alphas)


def _result(run: SearchRun, recipe: SearchRecipe, loop: SearchLoop) -> dict[str, Any]:
    return {
        "alphas": {name: table.tolist() for name, table in run.alphas.state_dict().items()},
        "operations": list(OPERATIONS),
        "edges": [
            [node, source] for node, count in enumerate(NODE_EDGES) for source in range(count)
        ],
        "history": run.history,
        "supernet": {
            "channels": recipe.supernet_channels,
            "cells": recipe.supernet_cells,
            "density": density_of(run.supernet),
            "valid_accuracy": loop.accuracy(),
        },
        "expected_latency_ms": run.history[-1]["expected_latency_ms"],
        "budget_ms": loop.budget_ms,
        "epochs": run.epoch,
        "seed": run.request.seed,
    }
