"""The recipe `dass-paper` runs the published procedure; each remedy can be taken away alone."""

import math
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from search.engine.ablations import ABLATIONS, OPTIONS, REMEDIES, with_option, without
from search.engine.recipes import RECIPES, SearchRecipe
from search.engine.schedule import Stage, learning_rate
from search.layers.sparse import LayerMode, sparse_layers
from search.requests import SearchRequest
from tests.search.engine.small import Events, small_loop, small_request

PAPER = RECIPES["dass-paper"]
SHORT = replace(
    PAPER,
    supernet_channels=2,
    supernet_cells=3,
    batch_size=8,
    dense_epochs=1,
    scores_epochs=1,
    masked_epochs=1,
    steps_per_epoch=1,
    cosine_epochs=2,
    shift=1,
    flip=False,
)


@pytest.fixture
def request_(tmp_path: Path) -> SearchRequest:
    return small_request(tmp_path)


def changed_fields(one: SearchRecipe, other: SearchRecipe) -> set[str]:
    names = (field.name for field in fields(SearchRecipe))
    return {name for name in names if getattr(one, name) != getattr(other, name)}


@pytest.mark.parametrize("remedy", REMEDIES)
def test_an_ablation_takes_exactly_one_remedy_away(remedy: str) -> None:
    recipe = ABLATIONS[f"without-{remedy}"]
    assert changed_fields(recipe, RECIPES["quick"]) == set(REMEDIES[remedy])


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_is_off_unless_asked_for_and_changes_nothing_else(option: str) -> None:
    recipe = ABLATIONS[f"with-{option}"]
    for name in RECIPES:
        assert changed_fields(recipe, RECIPES[name]) >= set(OPTIONS[option])
    assert changed_fields(recipe, RECIPES["quick"]) == set(OPTIONS[option])


def test_without_any_remedy_only_sizes_and_rates_differ_from_the_paper() -> None:
    recipe = RECIPES["standard"]
    for remedy in REMEDIES:
        recipe = without(recipe, remedy)
    assert changed_fields(recipe, PAPER) == {
        "batch_size", "dense_epochs", "scores_epochs", "masked_epochs", "alpha_lr",
        "path_epochs", "weight_decay", "final_lr", "cosine_epochs",
    }  # fmt: skip


def test_unknown_remedy_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown remedy 'luck'"):
        without(PAPER, "luck")
    with pytest.raises(ValueError, match="unknown option 'luck'"):
        with_option(PAPER, "luck")


def test_rates_are_those_of_the_authors() -> None:
    """One cosine of 100 epochs to 1e-3 in every stage: the scores stage ends half way."""
    assert learning_rate(PAPER, 0, 0.0) == pytest.approx(0.025)
    assert learning_rate(PAPER, 99, 1.0) == pytest.approx(1e-3)
    assert learning_rate(PAPER, 100, 0.0) == pytest.approx(0.1)
    half = 1e-3 + (0.1 - 1e-3) * 0.5 * (1.0 + math.cos(math.pi / 2))
    assert learning_rate(PAPER, 149, 1.0) == pytest.approx(half)
    assert learning_rate(PAPER, 150, 0.0) == pytest.approx(0.025)


def test_every_layer_has_the_density_from_the_first_epoch_on(request_: SearchRequest) -> None:
    loop = small_loop(request_, SHORT)
    loop.run.epoch = SHORT.dense_epochs
    assert loop._enter_epoch() is Stage.SCORES
    for layer in sparse_layers(loop.run.supernet).values():
        assert layer.mode is LayerMode.SCORES
        assert layer.density == request_.density


def test_alphas_rest_while_scores_are_trained(request_: SearchRequest, tmp_path: Path) -> None:
    loop = small_loop(request_, SHORT)
    seen = [loop.run.alphas.state_dict()["normal"]]

    class Watch(Events):
        def report(self, event: dict[str, Any]) -> None:
            super().report(event)
            seen.append(loop.run.alphas.state_dict()["normal"])

    loop.train(tmp_path / "run.pt", Watch())
    moved = [not torch.equal(one, other) for one, other in pairwise(seen)]
    assert moved == [True, False, True]


def test_latency_is_reported_and_decides_nothing(request_: SearchRequest) -> None:
    free, priced = small_loop(request_, SHORT), small_loop(request_, SHORT)
    free.latency, priced.budget_ms = None, 1e-6
    for loop in (free, priced):
        stage = loop._enter_epoch()
        loop._alpha_step(loop.data.alphas.images[:8], loop.data.alphas.labels[:8], 0.0)
    for name, table in free.run.alphas.state_dict().items():
        assert torch.equal(table, priced.run.alphas.state_dict()[name])
    event = priced._summary(stage, 0.0)
    assert event["expected_latency_ms"] > priced.budget_ms
    assert event["multiplier"] == 0.0


def test_order_changes_the_alphas_and_not_the_weights(request_: SearchRequest) -> None:
    first, second = (
        small_loop(request_, replace(SHORT, second_order=order)) for order in (False, True)
    )
    for loop in (first, second):
        before = {n: p.detach().clone() for n, p in loop.run.supernet.named_parameters()}
        loop._enter_epoch()
        batch = loop.data.weights.images[:8], loop.data.weights.labels[:8]
        ahead = batch if loop.recipe.second_order else None
        loop._alpha_step(loop.data.alphas.images[:8], loop.data.alphas.labels[:8], 0.0, ahead)
        after = dict(loop.run.supernet.named_parameters())
        assert all(torch.equal(value, after[name]) for name, value in before.items())
    tables = [loop.run.alphas.tables["normal"].grad for loop in (first, second)]
    assert tables[0] is not None
    assert tables[1] is not None
    assert not torch.equal(tables[0], tables[1])
