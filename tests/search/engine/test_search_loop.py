"""The search: what each stage trains, the budget, and exact resume."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from search.engine.checkpoint import load_checkpoint, save_checkpoint
from search.engine.divergence import TrainingDivergedError
from search.engine.search_loop import SearchLoop
from search.layers.sparse import LayerMode, density_of, sparse_layers
from search.requests import SearchRequest
from tests.search.engine.small import RECIPE, Events, small_loop, small_request


@pytest.fixture
def request_(tmp_path: Path) -> SearchRequest:
    return small_request(tmp_path)


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A search that ran through."""

    request: SearchRequest
    loop: SearchLoop
    events: list[dict[str, Any]]
    checkpoint: Path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole")
    request, seen = small_request(folder), Events()
    loop = small_loop(request)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))  # as `own_host_lock`, which comes later
        loop.train(folder / "whole.pt", seen)
    return Whole(request=request, loop=loop, events=seen.events, checkpoint=folder / "whole.pt")


def flat(state: Any, path: str = "") -> dict[str, Any]:
    """Return every leaf of nested dicts and lists by its path."""
    if isinstance(state, dict):
        items = state.items()
    elif isinstance(state, list | tuple):
        items = dict(enumerate(state)).items()
    else:
        return {path: state}
    return {k: v for key, value in items for k, v in flat(value, f"{path}/{key}").items()}


@pytest.mark.parametrize("stop_after", [1, 2])
def test_resume_after_any_epoch_ends_with_the_same_bits(
    whole: Whole, tmp_path: Path, stop_after: int
) -> None:
    parts = tmp_path / "parts.pt"
    with pytest.raises(KeyboardInterrupt):
        small_loop(whole.request).train(parts, Events(stop_after))
    rest = Events()
    small_loop(whole.request).train(parts, rest)
    assert [event["epoch"] for event in rest.events] == list(
        range(stop_after + 1, RECIPE.epochs + 1)
    )
    one, other = flat(load_checkpoint(whole.checkpoint)), flat(load_checkpoint(parts))
    assert one.keys() == other.keys()
    for path, value in one.items():
        same = torch.equal(value, other[path]) if torch.is_tensor(value) else value == other[path]
        assert same, path


def test_checkpoint_of_another_request_is_refused(request_: SearchRequest, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "run.pt", small_loop(request_).run.state_dict())
    with pytest.raises(ValueError, match="is of another request"):
        small_loop(replace(request_, seed=5)).train(tmp_path / "run.pt", Events())


def test_stages_run_in_order_and_reach_the_density(whole: Whole) -> None:
    assert [event["phase"] for event in whole.events] == ["dense", "scores", "masked"]
    densities = [event["density"] for event in whole.events]
    assert densities[0] == 1.0
    # Exported at 4 channels and 40 %, judged at 2 channels: 80 % keeps as many per channel.
    assert densities[1:] == pytest.approx([0.8, 0.8], abs=0.01)
    layers = sparse_layers(whole.loop.run.supernet).values()
    assert {layer.mode for layer in layers} == {LayerMode.MASKED}
    assert density_of(whole.loop.run.supernet) == pytest.approx(0.8, abs=0.01)


def snapshot(loop: SearchLoop) -> dict[str, torch.Tensor]:
    values = dict(loop.run.supernet.named_parameters())
    return {name: value.detach().clone() for name, value in values.items()}


@pytest.mark.parametrize(("epoch", "trained"), [(0, "weight"), (1, "score"), (2, "weight")])
def test_each_stage_trains_its_own_parameters(
    request_: SearchRequest, epoch: int, trained: str
) -> None:
    loop = small_loop(request_)
    images, labels = loop.data.weights.images[:8], loop.data.weights.labels[:8]
    for loop.run.epoch in range(epoch + 1):
        stage = loop._enter_epoch()
        before = snapshot(loop)
        loop._weight_step(stage, 0.0, images, labels)
    after = snapshot(loop)
    changed = {
        name.rpartition(".")[2]
        for name in before
        if name.startswith("cells") and not torch.equal(before[name], after[name])
    }
    assert changed == {trained}


def test_alphas_rest_while_the_weights_warm_up(request_: SearchRequest, tmp_path: Path) -> None:
    loop = small_loop(request_, replace(RECIPE, warmup_epochs=1))
    before = loop.run.alphas.state_dict()
    with pytest.raises(KeyboardInterrupt):
        loop.train(tmp_path / "run.pt", Events(stop_after=1))
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


def test_tight_budget_ends_in_a_faster_network(request_: SearchRequest) -> None:
    loop = small_loop(request_, replace(RECIPE, alpha_lr=0.1))
    images, labels = loop.data.alphas.images[:8], loop.data.alphas.labels[:8]
    before = derived_ms(loop)
    loop.budget_ms = 0.8 * before
    multipliers = []
    for step in range(12):
        loop._alpha_step(images, labels, step / 12)
        multipliers.append(loop.run.dual.multiplier)
    assert derived_ms(loop) < 0.9 * before
    assert max(multipliers) > 0.0


def test_unused_budget_ends_in_a_slower_network(request_: SearchRequest) -> None:
    found = {}
    for pull in (0.0, 1.0):
        loop = small_loop(request_, replace(RECIPE, alpha_lr=0.1, pull=pull))
        loop.budget_ms = 1.5 * derived_ms(loop)
        for step in range(12):
            loop._alpha_step(loop.data.alphas.images[:8], loop.data.alphas.labels[:8], step / 12)
        found[pull] = derived_ms(loop)
    assert -1.0 <= loop.run.dual.multiplier < 0.0
    assert found[1.0] > 1.02 * found[0.0]


def test_without_a_pull_a_slack_budget_leaves_the_choice_to_the_task(
    request_: SearchRequest,
) -> None:
    loops = [small_loop(request_, replace(RECIPE, pull=0.0)) for _ in range(2)]
    loops[1].latency = None
    for loop in loops:
        loop._alpha_step(loop.data.alphas.images[:8], loop.data.alphas.labels[:8], 0.0)
    one, other = (loop.run.alphas.state_dict() for loop in loops)
    assert torch.equal(one["normal"], other["normal"])
    assert loops[0].run.dual.multiplier == 0.0


def derived_ms(loop: SearchLoop) -> float:
    assert loop.latency is not None
    return loop.latency.derived_ms(loop.run.alphas.parameters())


def test_supernet_learns(request_: SearchRequest) -> None:
    loop = small_loop(request_)
    stage = loop._enter_epoch()
    images, labels = loop.data.weights.images[:24], loop.data.weights.labels[:24]
    losses = [loop._weight_step(stage, 0.0, images, labels) for _ in range(25)]
    assert losses[-1] < 0.5 * losses[0]


def test_loss_that_is_not_finite_ends_the_search(request_: SearchRequest, tmp_path: Path) -> None:
    loop = small_loop(request_)
    loop.data.weights.images.fill_(float("nan"))
    with pytest.raises(TrainingDivergedError, match="in epoch 1 the loss of step 1 is nan"):
        loop.train(tmp_path / "run.pt", Events())
    assert not (tmp_path / "run.pt").exists()
