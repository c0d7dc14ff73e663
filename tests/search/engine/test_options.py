"""Options of the loop: what each changes in a search, and that a search with it resumes exactly."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from search.data.datasets import load_dataset
from search.engine.ablations import with_option
from search.engine.checkpoint import load_checkpoint
from search.engine.schedule import Stage
from search.engine.search_stage import Departures, LeftOut, search_alphas
from search.layers.sparse import LayerMode, density_of, sparse_layers
from search.problems.choice import problem_of
from search.requests import SearchRequest
from search.space.sparsity import MaskRule
from search.stages import run_derive
from tests.search.engine.small import RECIPE, Events, small_loop, small_request
from tests.search.engine.test_search_loop import flat, snapshot
from tests.search.space.tables import SMALL, formula_table

RULES = [MaskRule.SOFT, MaskRule.ENVELOPE]


@pytest.fixture
def request_(tmp_path: Path) -> SearchRequest:
    return small_request(tmp_path)


# Together, because each search takes seconds; the term of the small search is that of the table.
@pytest.mark.parametrize(
    "options", [("soft-masks", "mixed-paths", "smooth-pruned"), ("envelope-masks",)]
)
def test_search_with_options_resumes_with_the_same_bits(
    request_: SearchRequest, tmp_path: Path, options: tuple[str, ...]
) -> None:
    recipe = RECIPE
    for option in options:
        recipe = with_option(recipe, option)
    whole, parts = tmp_path / "whole.pt", tmp_path / "parts.pt"
    small_loop(request_, recipe).train(whole, Events())
    with pytest.raises(KeyboardInterrupt):
        small_loop(request_, recipe).train(parts, Events(stop_after=2))
    small_loop(request_, recipe).train(parts, Events())
    one, other = flat(load_checkpoint(whole)), flat(load_checkpoint(parts))
    assert one.keys() == other.keys()
    for path, value in one.items():
        same = torch.equal(value, other[path]) if torch.is_tensor(value) else value == other[path]
        assert same, path


@pytest.mark.parametrize("rule", RULES)
def test_weights_choose_the_masks_under_a_rule(
    request_: SearchRequest, tmp_path: Path, rule: MaskRule
) -> None:
    loop, seen = small_loop(request_, replace(RECIPE, mask_rule=rule)), Events()
    loop.train(tmp_path / "run.pt", seen)
    assert [event["phase"] for event in seen.events] == ["dense", "scores", "masked"]
    densities = [event["density"] for event in seen.events]
    assert densities == pytest.approx([1.0, 1.0, 0.8], abs=0.01)
    for layer in sparse_layers(loop.run.supernet).values():
        assert layer.mode is LayerMode.MASKED


def test_networks_of_stages_have_mask_rules_too(tmp_path: Path) -> None:
    request = small_request(tmp_path, space="stages", channels=8, density=0.1)
    loop = small_loop(request, replace(RECIPE, mask_rule=MaskRule.ENVELOPE))
    loop.latency = None  # it is one of cells
    seen = Events()
    loop.train(tmp_path / "run.pt", seen)
    assert [event["density"] for event in seen.events] == pytest.approx([1.0, 1.0, 0.4], abs=0.01)


@pytest.mark.parametrize("rule", RULES)
def test_middle_stage_trains_weights_under_a_rule(request_: SearchRequest, rule: MaskRule) -> None:
    loop = small_loop(request_, replace(RECIPE, mask_rule=rule))
    loop._enter_epoch()
    loop.run.epoch = 1
    assert loop._enter_epoch() is Stage.SCORES
    before = snapshot(loop)
    images, labels = loop.data.weights.images[:8], loop.data.weights.labels[:8]
    loop._weight_step(Stage.SCORES, 0.0, images, labels)
    changed = {
        name.rpartition(".")[2]
        for name, value in snapshot(loop).items()
        if name.startswith("cells") and not torch.equal(value, before[name])
    }
    assert changed == {"weight"}
    assert density_of(loop.run.supernet) == 1.0


def test_noise_stands_beside_the_images_of_the_pruned_stages(request_: SearchRequest) -> None:
    loop = small_loop(request_, with_option(RECIPE, "smooth-pruned"))
    sizes = []
    for loop.run.epoch in range(3):
        for found in (loop._weight_batches(1), loop._alpha_batches()):
            images, labels = next(found)
            sizes.append(len(images) / len(labels))
    assert sizes == [1.0, 1.0, 2.0, 2.0, 2.0, 2.0]


def test_noise_changes_the_pruned_stages_only(request_: SearchRequest) -> None:
    losses = []
    for recipe in (RECIPE, with_option(RECIPE, "smooth-pruned")):
        loop = small_loop(request_, recipe)
        for loop.run.epoch in range(2):
            stage = loop._enter_epoch()
            losses.append(loop._weight_step(stage, 0.0, *next(loop._weight_batches(1))))
    dense, pruned, dense_too, smooth = losses
    assert dense == dense_too
    assert smooth > pruned


@pytest.mark.parametrize("option", ["mixed-paths", "latency-regressor"])
def test_what_is_found_with_an_option_can_be_derived(
    request_: SearchRequest, tmp_path: Path, option: str
) -> None:
    dataset, table = load_dataset(request_.dataset), formula_table(4, 3, SMALL)
    problem, progress = problem_of(request_, dataset.task), Events()
    recipe = with_option(RECIPE, option)
    found = search_alphas(problem, tmp_path, dataset, [table], progress, Departures(recipe=recipe))
    assert ("open_paths" in found["supernet"]) == (option == "mixed-paths")
    derived = run_derive(request_, tmp_path, dataset, table, progress)
    assert derived["prediction"]["high_ms"] <= request_.budget_ms
    if not derived["repaired"]:
        latency = problem.latency(problem.space.estimator(table))
        tables = [torch.tensor(rows) for rows in found["alphas"].values()]
        assert latency.derived_ms(tables) == pytest.approx(found["expected_latency_ms"])


def test_nothing_can_be_left_out_of_mixed_paths(request_: SearchRequest, tmp_path: Path) -> None:
    dataset = load_dataset(request_.dataset)
    departures = Departures(
        left_out=LeftOut(operations=("sep_conv_5x5",)), recipe=with_option(RECIPE, "mixed-paths")
    )
    with pytest.raises(ValueError, match="nothing can be left out of mixed paths"):
        search_alphas(
            problem_of(request_, dataset.task), tmp_path, dataset, [], Events(), departures
        )
