"""Final trainings whose weights leave by a rule: dense while the density falls, masked behind that."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from search.finalize.run import TrainingRun, TrainOutcome
from search.finalize.schedule import TRAIN_SCHEDULES, TrainSchedule
from search.finalize.train import make_network, train_final
from search.layers.mask_rules import SHRINK
from search.layers.sparse import LayerMode, sparse_layers
from search.space.sparsity import MaskRule
from tests.search.finalize.test_train import GOAL, SCHEDULE, SMALL_SPLIT, KilledError
from tests.search.space.tables import SMALL, some_genotype

RULES = [MaskRule.SOFT, MaskRule.ENVELOPE, MaskRule.ADMM]


def with_rule(rule: MaskRule) -> TrainSchedule:
    return replace(SCHEDULE, mask_rule=rule)


def trained(
    folder: Path, rule: MaskRule, stop_after: int | None = None
) -> tuple[torch.nn.Module, TrainOutcome, list[float]]:
    densities = []

    def report(event: dict[str, float]) -> None:
        densities.append(event["density"])
        if event["epoch"] == stop_after:
            raise KilledError

    network = make_network(some_genotype(8), SMALL, GOAL)
    path = folder / "train.pt"
    outcome = train_final(
        network, SMALL_SPLIT, with_rule(rule), GOAL, checkpoint=path, report=report
    )
    return network, outcome, densities


def step(run: TrainingRun) -> None:
    run.network.train()
    run.prepare_step(0)
    run.finish_step(loss_of(run))


def loss_of(run: TrainingRun) -> torch.Tensor:
    examples = SMALL_SPLIT.train
    return cross_entropy(run.network(examples.images), examples.labels)


@pytest.mark.parametrize("rule", RULES)
def test_weights_are_in_use_until_the_masks_are_fixed(rule: MaskRule) -> None:
    run = TrainingRun(make_network(some_genotype(8), SMALL, GOAL), with_rule(rule), GOAL, 1)
    layers = sparse_layers(run.network)
    for run.epoch, mode in enumerate([LayerMode.DENSE] * 4 + [LayerMode.MASKED] * 2):
        step(run)
        assert {layer.mode for layer in layers.values()} == {mode}
    kept = sum(layer.kept_weights() for layer in layers.values())
    total = sum(layer.weight.numel() for layer in layers.values())
    assert kept / total == pytest.approx(GOAL.density, abs=0.01)


def test_soft_rule_shrinks_after_the_step_of_the_optimiser() -> None:
    schedules = [with_rule(rule) for rule in (MaskRule.HARD, MaskRule.SOFT)]
    hard, soft = (
        TrainingRun(make_network(some_genotype(8), SMALL, GOAL), schedule, GOAL, 1)
        for schedule in schedules
    )
    for run in (hard, soft):
        for run.epoch in range(2):  # the dense phase, in which no rule has anything to do
            step(run)
    before = {
        path: layer.weight.detach().clone() for path, layer in sparse_layers(hard.network).items()
    }
    for path, layer in sparse_layers(soft.network).items():
        assert torch.equal(before[path], layer.weight)
    for group in soft.optimizer.param_groups:
        group["weight_decay"] = group["momentum"] = 0.0
        group["nesterov"] = False
    soft.epoch = 2
    soft.prepare_step(0)
    soft.optimizer.param_groups[0]["lr"] = 0.0  # what is left is the rule
    soft.finish_step(loss_of(soft))
    shrunk = 0
    for path, layer in sparse_layers(soft.network).items():
        ratio = layer.weight / before[path]
        down = torch.isclose(ratio, torch.tensor(SHRINK))
        assert (down | (ratio == 1.0)).all()
        shrunk += int(down.sum())
    assert shrunk > 0


@pytest.mark.parametrize("rule", RULES)
def test_training_ends_at_the_density_and_is_resumed_exactly(
    tmp_path: Path, rule: MaskRule
) -> None:
    network, outcome, densities = trained(tmp_path / "whole", rule)
    assert densities[:4] == [1.0] * 4
    assert densities[4:] == pytest.approx([0.3] * 2, abs=0.01)
    assert outcome.epoch in (5, 6)
    with pytest.raises(KilledError):
        trained(tmp_path / "killed", rule, stop_after=3)
    resumed, again, _ = trained(tmp_path / "killed", rule)
    assert again == outcome
    for name, value in network.state_dict().items():
        other = resumed.state_dict()[name]
        assert torch.equal(value, other) if torch.is_tensor(value) else value == other


def test_dense_controls_are_spared() -> None:
    goal = replace(GOAL, density=1.0)
    run = TrainingRun(
        make_network(some_genotype(8), SMALL, goal), with_rule(MaskRule.SOFT), goal, 1
    )
    for run.epoch in range(6):
        step(run)
    layers = sparse_layers(run.network).values()
    assert all(layer.kept_weights() == layer.weight.numel() for layer in layers)


def test_rules_are_for_weights_and_not_for_trained_scores() -> None:
    with pytest.raises(ValueError, match="mask rule 'soft' moves weights, which rest"):
        replace(TRAIN_SCHEDULES["dass-paper"], mask_rule=MaskRule.SOFT)
