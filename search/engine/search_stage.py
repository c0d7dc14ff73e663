"""The stage `search`: from a problem to architecture parameters in DIR/search.json."""

from pathlib import Path
from typing import Any

import numpy as np

from latency.table import LatencyTable
from search.data.batches import Examples, seeded_generator, split_examples
from search.data.dataset import Dataset
from search.engine.checkpoint import read_result, write_json
from search.engine.problem import AlphaTables, SearchProblem
from search.engine.progress import Progress
from search.engine.recipes import Relaxation, SearchRecipe, recipe_named
from search.engine.relaxation import logits_of, open_share
from search.engine.search_loop import SearchData, SearchLoop
from search.engine.search_run import SearchRun
from search.layers.sparse import density_of

RESULT = "search.json"
CHECKPOINT = "checkpoints/search.pt"


def search_alphas(
    problem: SearchProblem[Any],
    work: Path,
    dataset: Dataset,
    table: LatencyTable | None,
    progress: Progress,
    recipe: SearchRecipe | None = None,
) -> dict[str, Any]:
    """Run the search, or go on from its checkpoint, and write its result.

    Args:
        problem: what is searched.
        work: holds checkpoints/search.pt while it runs and search.json at the end.
        dataset: only its training images are used.
        table: of the target; without one there is no latency constraint.
        progress: hears of each epoch.
        recipe: another one than the request names, for ablations.

    Returns:
        What search.json holds: the alphas by table, the history, what the supernet reached.

    Raises:
        ValueError: too few images for two halves, a loss that is not finite, or an option of the
            recipe that the space does not have.
    """
    recipe = recipe or recipe_named(problem.request.recipe)
    run = SearchRun(problem, recipe, dataset.train_images.device)
    latency = None
    if table is not None:
        latency = problem.latency(problem.space.estimator(table), recipe.latency_kind)
    loop = SearchLoop(run, recipe, search_halves(dataset, problem.request.seed), latency)
    loop.train(work / CHECKPOINT, progress)
    result = _result(loop, problem.legend(recipe))
    write_json(work / RESULT, result)
    return result


def read_alphas(work: Path) -> AlphaTables:
    """Return the architecture parameters that a search has left in a work folder.

    Raises:
        ValueError: search.json is missing or malformed.
    """
    found = read_result(work / RESULT)["alphas"]
    return {name: np.array(rows, dtype=float) for name, rows in found.items()}


def search_halves(dataset: Dataset, seed: int) -> SearchData:
    """Return the training images in two: for the weights of a search and for its architecture.

    Raises:
        ValueError: there are too few images for two halves.
    """
    examples = Examples(images=dataset.train_images, labels=dataset.train_labels)
    weights, alphas = split_examples(examples, 0.5, seeded_generator(seed, "halves"))
    return SearchData(weights=weights, alphas=alphas)


def _result(loop: SearchLoop, legend: dict[str, Any]) -> dict[str, Any]:
    run = loop.run
    reached = {"density": density_of(run.supernet), "valid_accuracy": loop.accuracy()}
    if loop.recipe.relaxation is Relaxation.MIXED_PATH:
        reached["open_paths"] = open_share(run.alphas.parameters())
    tables = run.alphas.state_dict()
    logits = logits_of(list(tables.values()), loop.recipe.relaxation)
    return {
        **legend,
        "alphas": {name: table.tolist() for name, table in zip(tables, logits, strict=True)},
        "history": run.history,
        "supernet": {**legend["supernet"], **reached},
        "expected_latency_ms": run.history[-1]["expected_latency_ms"],
        "budget_ms": loop.budget_ms,
        "epochs": run.epoch,
        "seed": run.request.seed,
    }
