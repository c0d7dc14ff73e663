"""A single network with the weights of a supernet that was really trained, if only a little."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from search.data.datasets import load_dataset
from search.engine.checkpoint import save_checkpoint
from search.engine.problem import SearchProblem
from search.engine.search_loop import SearchLoop
from search.engine.search_run import SearchRun
from search.engine.search_stage import CHECKPOINT, search_halves
from search.problems.choice import problem_of
from search.requests import DeviceBudget, SearchRequest
from search.stages import run_search
from search.strategies.shared_weights import PATHS, SharedWeights, train_shared_weights
from tests.search.engine.small import RECIPE, Events, small_loop, small_request

Searched = tuple[Path, SearchRequest]
ALSO = DeviceBudget(device="pi", budget_ms=1.0)


@pytest.fixture(scope="module", params=["dass-cells", "stages"])
def searched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """Return the folder of a search that has ended, and what it was asked."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("searched")
    asked = small_request(folder, space=request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        run_search(asked, folder, load_dataset(asked.dataset), None, Events())
    return folder, asked


def judge_of(searched: Searched, **changed: Any) -> tuple[SearchProblem[Any], SharedWeights]:
    """Return the judge that is trained anew from the search."""
    folder, asked = searched
    (folder / PATHS).unlink(missing_ok=True)
    dataset = load_dataset(asked.dataset)
    request = replace(asked, **changed)
    judge = train_shared_weights(request, folder, dataset, Events())
    return problem_of(request, dataset.task), judge


def test_the_same_network_is_always_judged_alike(searched: Searched) -> None:
    problem, judge = judge_of(searched)
    genotypes = problem.fair_networks(np.random.default_rng(0))[:4]
    first = [judge(genotype) for genotype in genotypes]
    again = [judge(genotype) for genotype in reversed(genotypes)]
    assert again == first[::-1]
    assert all(0.0 <= accuracy <= 1.0 for accuracy in first)
    # Another budget is another request, but the same supernet, trained on the same paths.
    _, tighter = judge_of(searched, tighten=0.9, front=3, strategy="random")
    assert [tighter(genotype) for genotype in genotypes] == first
    for changed in ({"density": 0.7}, {"device": "box", "also": (ALSO,)}):
        with pytest.raises(ValueError, match="of another search"):
            judge_of(searched, **changed)


def test_judged_are_images_that_no_weight_has_seen(searched: Searched) -> None:
    problem, judge = judge_of(searched)
    data = search_halves(load_dataset(problem.request.dataset), problem.request.seed)
    assert torch.equal(torch.cat(judge._images), data.alphas.sample(len(data.alphas)).images)
    seen = sum(map(len, judge._seen))
    assert torch.equal(torch.cat(judge._seen), data.weights.sample(seen).images)
    assert judge.judged_images == len(data.alphas)


def test_networks_know_what_the_paths_have_learnt(tmp_path: Path) -> None:
    """With enough steps single networks are far better than guesses, and differ."""
    request = small_request(tmp_path)
    dataset = load_dataset(request.dataset)
    problem = problem_of(request, dataset.task)
    recipe = replace(RECIPE, supernet_channels=4, path_epochs=6, steps_per_epoch=3, weight_lr=0.1)
    run = SearchRun(problem, recipe)
    run.epoch = recipe.epochs
    data = search_halves(dataset, request.seed)
    SearchLoop(run, recipe, data, None, paths=problem).train(tmp_path / "paths.pt", Events())
    judge = SharedWeights(problem, run.supernet, data)
    accuracies = [judge(one) for one in problem.fair_networks(np.random.default_rng(0))]
    assert max(accuracies) > 0.6, "a guess is right once in three times"
    assert len(set(accuracies)) > 1, "operations make a difference"


def test_a_search_that_has_not_ended_is_refused(tmp_path: Path) -> None:
    request = small_request(tmp_path)
    dataset = load_dataset(request.dataset)
    with pytest.raises(KeyboardInterrupt):
        run_search(request, tmp_path, dataset, None, Events(stop_after=1))
    with pytest.raises(ValueError, match="ended in epoch 1 of 3"):
        train_shared_weights(request, tmp_path, dataset, Events())
    assert not (tmp_path / PATHS).exists()


def test_a_supernet_of_another_form_is_refused(tmp_path: Path) -> None:
    request = small_request(tmp_path)
    dataset = load_dataset(request.dataset)
    loop = small_loop(request)  # of two channels where the recipe has four
    save_checkpoint(tmp_path / CHECKPOINT, {**loop.run.state_dict(), "epoch": 3})
    with pytest.raises(ValueError, match="the supernet of the search has another form"):
        train_shared_weights(request, tmp_path, dataset, Events())
