"""How good a single network is, judged with the weights of a trained supernet.

A search trains the supernet as a mixture, in which operations rely on each other; alone they are
worth next to nothing, skips and pools least so. So training goes on with single paths first
(`engine.single_paths`). Then a network is the mixture of ones and zeros, with the statistics of every
batch norm restated for it from images that the weights were trained on (Guo et al., arXiv
1904.00420, section 3.3).

Judged is the accuracy on images of the architecture's half, which no weight was trained on. It is a
hint for an order, never an accuracy to expect: all networks share one training.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from latency import codec
from latency.host_lock import training_step
from search.data.dataset import Dataset
from search.engine.checkpoint import load_checkpoint
from search.engine.device import mixed_precision
from search.engine.problem import SearchProblem
from search.engine.progress import Progress
from search.engine.recipes import recipe_named
from search.engine.search_loop import SearchData, SearchLoop
from search.engine.search_run import SearchRun
from search.engine.search_stage import CHECKPOINT, search_halves
from search.engine.single_paths import path_tensors
from search.layers.statistics import restate_norms
from search.problems.choice import problem_of
from search.requests import DEFAULT_FRONT, SearchRequest

PATHS = "checkpoints/paths.pt"  # the supernet while and after single paths are trained
_BATCH = 128
_RESTATED = 256  # images that statistics are taken from
_JUDGED = 512  # images that the accuracy is taken on


class SharedWeights:
    """Judges single networks with the weights of one supernet; the same one always alike.

    Sparsity and middle widths make no difference: the supernet has one of each.

    Args:
        problem: what was searched.
        supernet: trained; its batch norm statistics change.
        data: the halves of its search.
    """

    def __init__(self, problem: SearchProblem[Any], supernet: nn.Module, data: SearchData) -> None:
        self._problem, self._supernet = problem, supernet
        self._device = data.weights.images.device
        size = min(_BATCH, len(data.weights))
        count = min(_RESTATED, len(data.weights)) // size * size
        self._seen = torch.split(data.weights.sample(count).images, size)
        judged = data.alphas.sample(_JUDGED)
        self._images = torch.split(judged.images, _BATCH)
        self._labels = judged.labels

    @property
    def judged_images(self) -> int:
        """How many images an accuracy is of."""
        return len(self._labels)

    @torch.no_grad()
    def __call__(self, genotype: Any) -> float:
        """Return the fraction of right answers of a network.

        Raises:
            ValueError: the supernet does not hold it.
        """
        mixture = [part.to(self._device) for part in path_tensors(self._problem, genotype)]

        def logits(images: Tensor) -> Tensor:
            with mixed_precision(self._device):
                found: Tensor = self._supernet(images, *mixture)
            return found

        with training_step():
            restate_norms(self._supernet, logits, self._seen)
            self._supernet.eval()
            answers = [logits(part).argmax(dim=1) for part in self._images]
        return float((torch.cat(answers) == self._labels).float().mean())


def train_shared_weights(
    request: SearchRequest, work: Path, dataset: Dataset, progress: Progress
) -> SharedWeights:
    """Return the judge with the supernet of a search, trained on single paths to the end.

    Goes on from checkpoints/paths.pt where there is one. That is of the search whatever is asked of
    its front: neither supernet nor paths depend on that.

    Args:
        request: of the search, but for its budgets and what is asked of a front.
        work: holds checkpoints/search.pt.
        dataset: of the search; its test images are not used.
        progress: hears of each epoch.

    Raises:
        ValueError: a checkpoint is damaged, or of a search that has not ended or of another one.
        OSError: the checkpoint of the search cannot be read.
    """
    state = load_checkpoint(work / CHECKPOINT)
    problem = problem_of(_searched(request, state), dataset.task)
    recipe = recipe_named(request.recipe)
    run = SearchRun(problem, recipe, dataset.train_images.device)
    _take_over(run, state, recipe.epochs)
    data = search_halves(dataset, request.seed)
    SearchLoop(run, recipe, data, None, paths=problem).train(work / PATHS, progress)
    return SharedWeights(problem, run.supernet, data)


def _searched(request: SearchRequest, state: dict[str, Any]) -> SearchRequest:
    """Return the request that the checkpoint is of; ValueError where that was another search."""
    searched = codec.from_plain(state["request"], SearchRequest)
    if _without_budgets(request) != _without_budgets(searched):
        raise ValueError("front: the checkpoint in the work folder is of another search")
    return searched


def _without_budgets(request: SearchRequest) -> SearchRequest:
    """Return the request without what neither a supernet nor its paths depend on."""
    also = tuple(replace(one, budget_ms=1.0, tighten=1.0) for one in request.also)
    return replace(
        request, budget_ms=1.0, tighten=1.0, also=also, front=DEFAULT_FRONT, strategy="evolution"
    )


def _take_over(run: SearchRun, state: dict[str, Any], epochs: int) -> None:
    """Give a fresh run the weights, masks and alphas that a finished search has left.

    Its optimisers start anew: the loss that they remember was that of a mixture.
    """
    if state["epoch"] != epochs:
        raise ValueError(f"front: the search ended in epoch {state['epoch']} of {epochs}")
    try:
        run.supernet.load_state_dict(state["supernet"])
    except RuntimeError as error:
        raise ValueError(f"front: the supernet of the search has another form: {error}") from error
    run.alphas.load_state_dict(state["alphas"])
    run.epoch = epochs
