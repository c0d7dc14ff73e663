"""Behind a search the weights are trained on single paths: fairly drawn, masked, resumable."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from search.data.datasets import load_dataset
from search.engine.checkpoint import load_checkpoint
from search.engine.problem import SearchProblem
from search.engine.search_loop import SearchLoop
from search.engine.single_paths import path_tensors, single_paths
from search.layers.sparse import sparse_layers
from search.problems.choice import problem_of
from search.requests import SearchRequest
from tests.search.engine.small import RECIPE, Events, small_loop, small_request
from tests.search.engine.test_search_loop import flat

PATH_EPOCHS = 2
LONGER = replace(RECIPE, path_epochs=PATH_EPOCHS, steps_per_epoch=2)


@pytest.fixture(params=["dass-cells", "stages"])
def request_(request: pytest.FixtureRequest, tmp_path: Path) -> SearchRequest:
    return small_request(tmp_path, space=request.param)


def loop_with_paths(request: SearchRequest) -> SearchLoop:
    """Return a search that goes on with single paths."""
    plain = small_loop(request, LONGER)
    problem = problem_of(request, load_dataset(request.dataset).task)
    return SearchLoop(plain.run, LONGER, plain.data, None, paths=problem)


@pytest.mark.parametrize("stop_after", [3, 4])
def test_resume_ends_with_the_same_bits(
    request_: SearchRequest, tmp_path: Path, stop_after: int
) -> None:
    whole, parts = tmp_path / "whole.pt", tmp_path / "parts.pt"
    seen = Events()
    loop_with_paths(request_).train(whole, seen)
    assert [event["phase"] for event in seen.events[3:]] == ["paths"] * PATH_EPOCHS
    assert {event["epochs"] for event in seen.events} == {RECIPE.epochs + PATH_EPOCHS}
    with pytest.raises(KeyboardInterrupt):
        loop_with_paths(request_).train(parts, Events(stop_after))
    loop_with_paths(request_).train(parts, Events())
    one, other = flat(load_checkpoint(whole)), flat(load_checkpoint(parts))
    assert one.keys() == other.keys()
    for path, value in one.items():
        same = torch.equal(value, other[path]) if torch.is_tensor(value) else value == other[path]
        assert same, path


def test_masks_and_alphas_stay_and_weights_move(request_: SearchRequest, tmp_path: Path) -> None:
    loop = loop_with_paths(request_)
    with pytest.raises(KeyboardInterrupt):
        loop.train(tmp_path / "run.pt", Events(stop_after=RECIPE.epochs))
    layers = sparse_layers(loop.run.supernet)
    masks = {path: layer.mask.clone() for path, layer in layers.items()}
    weights = {path: layer.weight.detach().clone() for path, layer in layers.items()}
    alphas = loop.run.alphas.state_dict()
    loop.train(tmp_path / "run.pt", Events())
    assert loop.run.epoch == RECIPE.epochs + PATH_EPOCHS
    assert all(torch.equal(layer.mask, masks[path]) for path, layer in layers.items())
    assert all(torch.equal(table, alphas[name]) for name, table in loop.run.alphas.tables.items())
    moved = [path for path, layer in layers.items() if not torch.equal(layer.weight, weights[path])]
    assert len(moved) > len(layers) / 2


def test_a_search_alone_has_no_such_epochs(request_: SearchRequest, tmp_path: Path) -> None:
    seen, plain = Events(), small_loop(request_, LONGER)
    SearchLoop(plain.run, LONGER, plain.data, None).train(tmp_path / "run.pt", seen)
    assert len(seen.events) == RECIPE.epochs


def test_seed_and_epoch_decide_the_paths(request_: SearchRequest) -> None:
    problem = problem_of(request_, load_dataset(request_.dataset).task)
    other = problem_of(replace(request_, seed=9), problem.space.task)

    def drawn(epoch: int, of: SearchProblem[Any] = problem) -> torch.Tensor:
        paths = single_paths(of, epoch)
        return torch.cat([part.flatten() for _ in range(10) for part in next(paths)])

    assert torch.equal(drawn(3), drawn(3))
    assert not torch.equal(drawn(3), drawn(4))
    assert not torch.equal(drawn(3), drawn(3, other))


def test_gradients_are_those_of_a_pass_that_leaves_nothing_out(request_: SearchRequest) -> None:
    """What no edge uses is not computed, but where the mixture wants gradients."""
    loop = small_loop(request_)
    problem = problem_of(request_, load_dataset(request_.dataset).task)
    network = problem.fair_networks(np.random.default_rng(2))[0]
    supernet, images = loop.run.supernet, loop.data.weights.images[:4]
    found = []
    for whole in (False, True):
        mixture = [part.requires_grad_(whole) for part in path_tensors(problem, network)]
        supernet.zero_grad()
        logits = supernet(images, *mixture)
        logits.square().sum().backward()
        gradients = {
            name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone()
            for name, parameter in supernet.named_parameters()
        }
        found.append((logits.detach(), gradients))
    (logits, gradients), (every_logits, every) = found
    assert torch.allclose(logits, every_logits, atol=1e-6)
    for name, gradient in gradients.items():
        assert torch.allclose(gradient, every[name], atol=1e-5), name
    idle = sum(not bool(gradient.any()) for gradient in every.values())
    assert 0 < idle < len(every)
