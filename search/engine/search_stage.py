"""The stage `search`: from a problem to architecture parameters in DIR/search.json."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from latency.table import LatencyTable
from search.data.batches import Examples, seeded_generator, split_examples
from search.data.dataset import Dataset
from search.engine.checkpoint import read_result, write_json
from search.engine.problem import AlphaTables, SearchProblem, priced_devices
from search.engine.progress import Progress
from search.engine.recipes import Relaxation, SearchRecipe, recipe_named
from search.engine.relaxation import logits_of, open_share
from search.engine.search_loop import SearchData, SearchLoop
from search.engine.search_run import SearchRun
from search.layers.sparse import density_of
from search.objective.several_devices import DeviceTerm, SeveralDevices
from search.objective.term import LatencyTerm
from search.space.primitives import OPERATIONS

RESULT = "search.json"
CHECKPOINT = "checkpoints/search.pt"


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Operations of cells that a search does without."""

    operations: tuple[str, ...] = ()
    why: tuple[str, ...] = ()  # a line for people on every option that was considered


@dataclass(frozen=True, kw_only=True)
class Departures:
    """Where a search departs from what its request says by itself."""

    left_out: LeftOut = LeftOut()  # what it is to do without
    recipe: SearchRecipe | None = None  # another one than the request names, for ablations


NO_DEPARTURES = Departures()


def search_alphas(
    problem: SearchProblem[Any],
    work: Path,
    dataset: Dataset,
    tables: Sequence[LatencyTable],
    progress: Progress,
    departures: Departures = NO_DEPARTURES,
) -> dict[str, Any]:
    """Run the search, or go on from its checkpoint, and write its result.

    Args:
        problem: what is searched.
        work: holds checkpoints/search.pt while it runs and search.json at the end.
        dataset: only its training images are used.
        tables: of the devices of the request, in order; without them there is no latency
            constraint.
        progress: hears of each epoch.
        departures: where it is not as the request alone says.

    Returns:
        What search.json holds: the alphas by table, the history, what the supernet reached.

    Raises:
        ValueError: too few images for two halves, a loss that is not finite, or an option of the
            recipe that the space does not have, or that nothing can be left out with.
    """
    recipe = departures.recipe or recipe_named(problem.request.recipe)
    left_out = departures.left_out
    run = SearchRun(problem, recipe, dataset.train_images.device)
    if left_out.operations and recipe.relaxation is Relaxation.MIXED_PATH:
        raise ValueError(
            "search: nothing can be left out of mixed paths, whose alphas are no logits"
        )
    run.alphas.leave_out([OPERATIONS.index(name) for name in left_out.operations])
    terms = _terms(problem, tables, recipe) if tables else []
    halves = search_halves(dataset, problem.request.seed)
    loop = SearchLoop(run, recipe, halves, _one_term(terms))
    loop.train(work / CHECKPOINT, progress)
    result = _result(loop, problem.legend(recipe))
    if len(terms) > 1:
        result["devices"] = _devices(loop, terms)
    if left_out.why:
        result["left_out"] = {
            "operations": list(left_out.operations),
            "why": list(left_out.why),
        }
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


def _terms(
    problem: SearchProblem[Any], tables: Sequence[LatencyTable], recipe: SearchRecipe
) -> list[DeviceTerm]:
    return [
        DeviceTerm(
            latency=problem.latency(device.estimator, recipe.latency_kind),
            budget_ms=device.budget_ms,
        )
        for device in priced_devices(problem, tables)
    ]


def _one_term(terms: Sequence[DeviceTerm]) -> LatencyTerm | None:
    """Return the term of one device as it is, and one for all where there are several."""
    if len(terms) > 1:
        return SeveralDevices(terms)
    return terms[0].latency if terms else None


def _devices(loop: SearchLoop, terms: Sequence[DeviceTerm]) -> list[dict[str, Any]]:
    """Return what the network that the alphas derive at the end takes on each device."""
    alphas = loop.run.alphas.parameters()
    return [
        {
            "device": budget.device,
            "budget_ms": budget.tightened_ms,
            "expected_latency_ms": term.latency.derived_ms(alphas),
        }
        for budget, term in zip(loop.run.request.budgets, terms, strict=True)
    ]


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
