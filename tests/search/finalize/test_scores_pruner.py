"""The published pruning of a final network: scores are trained while the weights rest."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from search.finalize.run import TrainingRun, TrainOutcome
from search.finalize.schedule import TRAIN_SCHEDULES
from search.finalize.train import make_network, train_final
from search.layers.sparse import LayerMode, sparse_layers
from search.space.sparsity import Allocation
from search.space.stage_genotype import BlockKind, Stage, StageGenotype
from tests.search.finalize.test_train import GOAL, SMALL_SPLIT, KilledError
from tests.search.space.tables import SMALL, some_genotype

PAPER = TRAIN_SCHEDULES["dass-paper"]
SHORT = replace(
    PAPER, dense_epochs=2, prune_epochs=2, tune_epochs=2, batch_size=12, shift=1, flip=False
)
PLAIN = StageGenotype(stem=4, stages=(Stage(kind=BlockKind.BASIC, width=8, depth=1),) * 3)


def cells() -> nn.Module:
    return make_network(some_genotype(8), SMALL, GOAL)


def stages() -> nn.Module:
    return make_network(PLAIN, SMALL, GOAL)


def trained(
    folder: Path, stop_after: int | None = None
) -> tuple[nn.Module, TrainOutcome, list[float]]:
    """Train to the end, or until a crash; return the densities after each epoch too."""
    densities = []

    def report(event: dict[str, float]) -> None:
        densities.append(event["density"])
        if event["epoch"] == stop_after:
            raise KilledError

    network = stages()
    path = folder / "train.pt"
    return (
        network,
        train_final(network, SMALL_SPLIT, SHORT, GOAL, checkpoint=path, report=report),
        densities,
    )


def changed_by_step(run: TrainingRun) -> set[str]:
    network = run.network.train()
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    run.prepare_step(0)
    examples = SMALL_SPLIT.valid
    run.finish_step(nn.functional.cross_entropy(network(examples.images), examples.labels))
    after = dict(network.named_parameters())
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("make", [cells, stages])
def test_each_phase_trains_its_own_parameters(make: Callable[[], nn.Module]) -> None:
    run = TrainingRun(make(), SHORT, GOAL, 1)
    layers = sparse_layers(run.network)
    weights = {f"{path}.weight" for path in layers}
    scores = {f"{path}.score" for path in layers}
    norms = {name for name, _ in run.network.named_parameters() if "norm" in name}
    biases = {f"{path}.bias" for path in layers}
    phases = ((0, LayerMode.DENSE), (2, LayerMode.SCORES), (4, LayerMode.MASKED))
    for run.epoch, mode in phases:
        changed = changed_by_step(run)
        assert {layer.mode for layer in layers.values()} == {mode}
        assert changed & norms, "batch norm is trained in every phase"
        if mode is LayerMode.SCORES:
            assert changed & scores
            assert not changed & (weights | biases)
        else:
            assert changed & weights
            assert not changed & scores


def test_scores_start_as_magnitude_and_every_layer_keeps_the_same_share() -> None:
    run = TrainingRun(stages(), SHORT, GOAL, 2)
    run.epoch = SHORT.dense_epochs
    run.prepare_step(0)
    for layer in sparse_layers(run.network).values():
        assert layer.kept_weights() == max(1, round(GOAL.density * layer.weight.numel()))
        kept = layer.effective_weight() != 0
        assert layer.weight[kept].abs().min() >= layer.weight[~kept].abs().max()


def test_scores_can_be_allocated_over_the_whole_network() -> None:
    schedule = replace(SHORT, allocation=Allocation.GLOBAL)
    run = TrainingRun(stages(), schedule, GOAL, 2)
    run.epoch = SHORT.dense_epochs
    run.prepare_step(0)
    layers = sparse_layers(run.network).values()
    assert len({round(layer.density, 3) for layer in layers}) > 1
    kept = sum(layer.kept_weights() for layer in layers)
    total = sum(layer.weight.numel() for layer in layers)
    assert kept / total == pytest.approx(GOAL.density, abs=0.005)


def test_rates_of_the_phases() -> None:
    run = TrainingRun(stages(), PAPER, GOAL, 10)
    rates = {}
    for run.epoch in (0, 599, 600, 619, 620, 819):
        run.prepare_step(0)
        optimizer = run.score_optimizer if 600 <= run.epoch < 620 else run.optimizer
        rates[run.epoch] = optimizer.param_groups[0]["lr"]
    assert rates[0] == pytest.approx(0.025)
    assert rates[600] == pytest.approx(0.1)
    assert rates[620] == pytest.approx(0.01)
    assert rates[599] < 1e-6
    assert rates[619] < 0.001
    assert rates[819] < 1e-6


def test_training_ends_at_the_density_and_is_resumed_exactly(tmp_path: Path) -> None:
    network, outcome, densities = trained(tmp_path / "whole")
    assert densities[:2] == [1.0, 1.0]
    assert densities[2:] == pytest.approx([0.3] * 4, abs=0.005)
    assert outcome.epoch in (5, 6)
    for epoch in (3, 4):
        folder = tmp_path / f"killed-{epoch}"
        with pytest.raises(KilledError):
            trained(folder, stop_after=epoch)
        resumed, again, _ = trained(folder)
        assert again == outcome
        for name, value in network.state_dict().items():
            other = resumed.state_dict()[name]
            assert torch.equal(value, other) if torch.is_tensor(value) else value == other


def test_masks_follow_the_trained_scores() -> None:
    run = TrainingRun(stages(), SHORT, GOAL, 1)
    run.epoch = SHORT.dense_epochs
    layers = sparse_layers(run.network)
    run.prepare_step(0)
    by_magnitude = {path: layer.effective_weight() != 0 for path, layer in layers.items()}
    with torch.no_grad():
        for layer in layers.values():
            layer.score.copy_(layer.score.flatten().flip(0).view_as(layer.score))
    run.epoch = SHORT.dense_epochs + SHORT.prune_epochs
    run.prepare_step(0)
    assert any(not torch.equal(layer.mask, by_magnitude[path]) for path, layer in layers.items())
    for layer in layers.values():
        kept, dropped = layer.score[layer.mask].abs(), layer.score[~layer.mask].abs()
        assert kept.min() >= dropped.max()
