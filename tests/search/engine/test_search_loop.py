"""The search: what each stage trains, the budget, and exact resume."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from search.engine.checkpoint import load_checkpoint
from search.engine.search_loop import TrainingDivergedError
from search.layers.sparse import LayerMode, density_of, sparse_layers
from search.requests import SearchRequest
from tests.search.engine.small import RECIPE, Events, small_loop, small_request


@pytest.fixture
def request_(tmp_path: Path) -> SearchRequest:
    return small_request(tmp_path)


def flat(state: Any, path: str = "") -> dict[str, Any]:
    """Return every leaf of nested dicts and lists by its path."""
    if isinstance(state, dict):
        items = state.items()
    elif isinstance(state, list | tuple):
        items = dict(enumerate(state)).items()
    else:
        return {path: state}
    return {k: v for key, value in items for k, v in flat(value, f"{path}/{key}").items()}


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_resume_after_any_epoch_ends_with_the_same_bits(
    request_: SearchRequest, tmp_path: Path, stop_after: int
) -> None:
    whole, parts = tmp_path / "whole.pt", tmp_path / "parts.pt"
    small_loop(request_).train(whole, Events())
    with pytest.raises(KeyboardInterrupt):
        small_loop(request_).train(parts, Events(stop_after))
    rest = Events()
    small_loop(request_).train(parts, rest)
    assert [event["epoch"] for event in rest.events] == list(
        range(stop_after + 1, RECIPE.epochs + 1)
    )
    one, other = flat(load_checkpoint(whole)), flat(load_checkpoint(parts))
    assert one.keys() == other.keys()
    for path, value in one.items():
        same = torch.equal(value, other[path]) if torch.is_tensor(value) else value == other[path]
        assert same, path


def test_checkpoint_of_another_request_is_refused(request_: SearchRequest, tmp_path: Path) -> None:
    small_loop(request_).train(tmp_path / "run.pt", Events())
    with pytest.raises(ValueError, match="is of another request"):
        small_loop(replace(request_, seed=5)).train(tmp_path / "run.pt", Events())


def test_stages_run_in_order_and_reach_the_density(request_: SearchRequest, tmp_path: Path) -> None:
    loop, seen = small_loop(request_), Events()
    loop.train(tmp_path / "run.pt", seen)
    assert [event["phase"] for event in seen.events] == ["dense", "dense", "scores", "masked"]
    densities = [event["density"] for event in seen.events]
    assert densities[:2] == [1.0, 1.0]
    # Exported at 4 channels and 40 %, judged at 2 channels: 80 % keeps as many per channel.
    assert densities[2:] == pytest.approx([0.8, 0.8], abs=0.01)
    layers = sparse_layers(loop.run.supernet).values()
    assert {layer.mode for layer in layers} == {LayerMode.MASKED}
    assert density_of(loop.run.supernet) == pytest.approx(0.8, abs=0.01)


def snapshot(loop: Any) -> dict[str, torch.Tensor]:
    values = dict(loop.run.supernet.named_parameters())
    return {name: value.detach().clone() for name, value in values.items()}


@pytest.mark.parametrize(("epoch", "trained"), [(0, "weight"), (2, "score"), (3, "weight")])
def test_each_stage_trains_its_own_parameters(
    request_: SearchRequest, tmp_path: Path, epoch: int, trained: str
) -> None:
    loop = small_loop(request_)
    before = snapshot(loop)
    with pytest.raises(KeyboardInterrupt):
        loop.train(tmp_path / "run.pt", Events(stop_after=epoch + 1))
    if epoch:
        earlier = load_checkpoint_at(request_, tmp_path / "earlier.pt", epoch)
        before = {name: earlier[name] for name in before}
    after = snapshot(loop)
    changed = {
        name.rpartition(".")[2]
        for name in before
        if name.startswith("cells") and not torch.equal(before[name], after[name])
    }
    # Entering the scores stage sets the scores from the weights, so they change there anyway.
    assert changed == {trained}


def load_checkpoint_at(request: SearchRequest, path: Path, epochs: int) -> dict[str, Any]:
    with pytest.raises(KeyboardInterrupt):
        small_loop(request).train(path, Events(stop_after=epochs))
    state: dict[str, Any] = load_checkpoint(path)["supernet"]
    return state


def test_alphas_rest_while_the_weights_warm_up(request_: SearchRequest, tmp_path: Path) -> None:
    loop = small_loop(request_, replace(RECIPE, warmup_epochs=2))
    before = loop.run.alphas.state_dict()
    with pytest.raises(KeyboardInterrupt):
        loop.train(tmp_path / "run.pt", Events(stop_after=2))
    assert torch.equal(loop.run.alphas.state_dict()["normal"], before["normal"])
    loop.train(tmp_path / "run.pt", Events())
    assert not torch.equal(loop.run.alphas.state_dict()["normal"], before["normal"])


def test_weight_steps_do_not_move_the_alphas(request_: SearchRequest) -> None:
    loop = small_loop(request_)
    before = loop.run.alphas.state_dict()
    stage = loop._enter_epoch()
    images, labels = loop.data.weights.images[:8], loop.data.weights.labels[:8]
    loop._weight_step(stage, 0.0, images, labels)
    assert torch.equal(loop.run.alphas.state_dict()["normal"], before["normal"])
    weights = snapshot(loop)
    loop._alpha_step(images, labels, 0.0)
    assert not torch.equal(loop.run.alphas.state_dict()["normal"], before["normal"])
    after = snapshot(loop)
    assert all(torch.equal(value, after[name]) for name, value in weights.items())


def test_tight_budget_ends_in_a_faster_network(request_: SearchRequest, tmp_path: Path) -> None:
    recipe = replace(RECIPE, masked_epochs=12, alpha_lr=0.1, penalty=1.0)
    ends = []
    for name, budget in (("loose", 10.0), ("tight", 0.05)):
        seen = Events()
        loop = small_loop(replace(request_, budget_ms=budget), recipe)
        loop.train(tmp_path / f"{name}.pt", seen)
        ends.append(seen.events[-1])
    assert ends[1]["expected_latency_ms"] < 0.8 * ends[0]["expected_latency_ms"]
    assert ends[0]["multiplier"] == 0.0
    assert ends[1]["multiplier"] > 0.0


def test_supernet_learns(request_: SearchRequest, tmp_path: Path) -> None:
    seen = Events()
    recipe = replace(RECIPE, dense_epochs=14, steps_per_epoch=None)
    small_loop(request_, recipe).train(tmp_path / "run.pt", seen)
    assert max(event["valid_accuracy"] for event in seen.events) > 0.8


def test_loss_that_is_not_finite_ends_the_search(request_: SearchRequest, tmp_path: Path) -> None:
    loop = small_loop(request_)
    loop.data.weights.images.fill_(float("nan"))
    with pytest.raises(TrainingDivergedError, match="not finite in epoch 1"):
        loop.train(tmp_path / "run.pt", Events())
    assert not (tmp_path / "run.pt").exists()
