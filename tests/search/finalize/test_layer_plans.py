"""Trainings whose layers have patterns and densities of their own, in both spaces."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from latency.codec import from_plain
from latency.estimate.estimator import Prediction
from latency.operator import SparsityPattern
from search.engine.checkpoint import load_checkpoint
from search.finalize.layer_plan import LayerPlan
from search.finalize.prune import prune_by_plan
from search.finalize.run import TrainOutcome
from search.finalize.schedule import Pruner
from search.finalize.train import make_network, train_final
from search.layers.operator_layers import operator_layers
from search.layers.patterns import group_scores, kept_groups
from search.layers.sparse import sparse_layers
from search.space.sparsity import LAYER_PATTERNS, Sparsity
from tests.search.finalize.planned import GENOTYPES, planned
from tests.search.finalize.test_train import SCHEDULE, SMALL_SPLIT, KilledError
from tests.search.space.tables import SMALL

SPACES = tuple(GENOTYPES)

Run = tuple[nn.Module, TrainOutcome, list[dict[str, Any]]]


def run(
    folder: Path, space: str, stop_after: int | None = None, pruner: Pruner = Pruner.MAGNITUDE
) -> Run:
    events: list[dict[str, Any]] = []

    def report(event: dict[str, Any]) -> None:
        events.append(event)
        if event["epoch"] == stop_after:
            raise KilledError

    torch.set_num_threads(1)  # before fixtures that are wider than a test too
    genotype, goal, _ = planned(space)
    network = make_network(genotype, SMALL, goal)
    outcome = train_final(
        network,
        SMALL_SPLIT,
        replace(SCHEDULE, pruner=pruner),
        goal,
        checkpoint=folder / "train.pt",
        report=report,
    )
    return network, outcome, events


@pytest.fixture(scope="module", params=SPACES)
def whole(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Run]:
    return request.param, run(tmp_path_factory.mktemp("whole"), request.param)


def kept_of(network: nn.Module) -> dict[str, int]:
    """Return how many groups each layer keeps."""
    return {
        path: int((group_scores(layer.mask.float(), layer.pattern) > 0).sum())
        for path, layer in sparse_layers(network).items()
    }


@st.composite
def plans(draw: st.DrawFn, network: nn.Module) -> dict[str, Sparsity]:
    return {
        path: Sparsity(
            pattern=draw(st.sampled_from(LAYER_PATTERNS)), density=draw(st.floats(0.02, 1.0))
        )
        for path in sparse_layers(network)
    }


@pytest.mark.parametrize("space", SPACES)
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_every_layer_ends_as_planned_and_only_loses_on_the_way(
    space: str, data: st.DataObject
) -> None:
    network = make_network(GENOTYPES[space], SMALL, planned(space).goal)
    layers = data.draw(plans(network))
    masks: dict[str, torch.Tensor] = {}
    for progress in (0.0, 0.5, 1.0):
        prune_by_plan(network, layers, progress)
        for path, layer in sparse_layers(network).items():
            assert layer.pattern is layers[path].pattern
            assert path not in masks or not (layer.mask & ~masks[path]).any()
            masks[path] = layer.mask.clone()
    for path, kept in kept_of(network).items():
        layer, one = sparse_layers(network)[path], layers[path]
        groups = group_scores(layer.weight, one.pattern).numel()
        dense = one.pattern is SparsityPattern.DENSE
        assert kept == (groups if dense else kept_groups(groups, one.density))


def test_a_layer_that_a_plan_forgets_is_named() -> None:
    network = make_network(GENOTYPES["stages"], SMALL, planned("stages").goal)
    with pytest.raises(ValueError, match="no density for layer 'stem'"):
        prune_by_plan(network, {}, 1.0)


def test_training_ends_at_the_plan_which_keeps_the_budget(whole: tuple[str, Run]) -> None:
    space, (network, outcome, events) = whole
    plan, budget_ms = outcome.plan, planned(space).budget_ms
    assert plan is not None
    assert from_plain(plan.facts["prediction"], Prediction).high_ms <= budget_ms
    assert plan.facts["gap"] == plan.facts["distortion"] - plan.facts["lower_bound"]
    layers = sparse_layers(network)
    assert {path: layer.pattern for path, layer in layers.items()} == {
        path: one.pattern for path, one in plan.layers.items()
    }
    of_operator = {line["layer"]: line for line in plan.facts["layers"]}
    for operator, parts in operator_layers(network).items():
        masks = [group_scores(p.mask.float(), p.pattern) > 0 for p in parts.values()]
        kept = sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)
        wanted = of_operator.get(operator, {"density": 1.0, "pattern": "dense"})
        assert kept == pytest.approx(wanted["density"], abs=6e-5)
        assert {part.pattern.value for part in parts.values()} == {wanted["pattern"]}
    assert [event["density"] for event in events[:2]] == [1.0, 1.0]
    assert 1.0 > events[2]["density"] >= events[3]["density"] == outcome.density
    for layer in layers.values():
        assert not layer.weight[~layer.mask].any()


@pytest.mark.parametrize("epoch", [2, 3, 5])
def test_interrupted_training_ends_with_the_same_weights_and_plan(
    tmp_path: Path, whole: tuple[str, Run], epoch: int
) -> None:
    """Before the plan is made, while the network is pruned, and while it is fine-tuned."""
    space, (network, outcome, events) = whole
    with pytest.raises(KilledError):
        run(tmp_path, space, stop_after=epoch)
    assert (load_checkpoint(tmp_path / "train.pt")["plan"] is None) == (epoch == 2)
    resumed, resumed_outcome, resumed_events = run(tmp_path, space)
    assert resumed_events == events[epoch:]
    assert resumed_outcome == outcome
    for name, value in network.state_dict().items():
        other = resumed.state_dict()[name]
        assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other


def test_trained_scores_choose_within_the_plan(tmp_path: Path) -> None:
    network, outcome, events = run(tmp_path, "stages", pruner=Pruner.SCORES)
    assert outcome.plan is not None
    assert events[2]["density"] < 1.0
    for path, kept in kept_of(network).items():
        layer, one = sparse_layers(network)[path], outcome.plan.layers[path]
        groups = group_scores(layer.weight, one.pattern).numel()
        dense = one.pattern is SparsityPattern.DENSE
        assert kept == (groups if dense else kept_groups(groups, one.density))


def test_a_plan_survives_its_plain_values(whole: tuple[str, Run]) -> None:
    plan = whole[1][1].plan
    assert plan is not None
    assert LayerPlan.from_dict(plan.to_dict()) == plan
