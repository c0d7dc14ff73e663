import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from latency.operator import BLOCK_ROWS, SparsityPattern
from search.data.batches import Examples
from search.engine.divergence import TrainingDivergedError
from search.finalize.final_network import FinalNetwork
from search.finalize.norms import normed_convs
from search.finalize.run import Goal, TrainOutcome
from search.finalize.schedule import TRAIN_SCHEDULES, TrainSchedule, schedule_for
from search.finalize.train import Split, evaluate, make_network, train_final
from search.layers.sparse import density_of, sparse_layers
from search.requests import RECIPE_NAMES
from tests.search.space.tables import SMALL, some_genotype

SCHEDULE = TrainSchedule(
    dense_epochs=2,
    prune_epochs=2,
    tune_epochs=2,
    batch_size=12,
    learning_rate=0.05,
    weight_decay=1e-4,
)
GOAL = Goal(density=0.3, pattern=SparsityPattern.UNSTRUCTURED, seed=3)


class KilledError(Exception):
    """Stands for the end of the process."""


def quadrants(count: int, seed: int) -> Examples:
    """Return noisy images whose class is the quadrant with the bright spot (three of four)."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (count,), generator=generator)
    images = 0.3 * torch.randn(count, 1, 8, 8, generator=generator)
    for image, label in zip(images, labels.tolist(), strict=True):
        row, column = divmod(label, 2)
        image[0, 4 * row + 1 : 4 * row + 3, 4 * column + 1 : 4 * column + 3] += 2.0
    return Examples(images=images, labels=labels)


SPLIT = Split(train=quadrants(60, 0), valid=quadrants(30, 1))
SMALL_SPLIT = Split(train=quadrants(24, 0), valid=quadrants(12, 1))

Run = tuple[FinalNetwork, TrainOutcome, list[dict[str, Any]]]


def run(
    folder: Path, goal: Goal = GOAL, split: Split = SPLIT, stop_after: int | None = None
) -> Run:
    events: list[dict[str, Any]] = []

    def report(event: dict[str, Any]) -> None:
        events.append(event)
        if event["epoch"] == stop_after:
            raise KilledError

    torch.set_num_threads(1)
    network = make_network(some_genotype(8), SMALL, goal)
    outcome = train_final(
        network, split, SCHEDULE, goal, checkpoint=folder / "train.pt", report=report
    )
    return network, outcome, events


def test_training_learns_and_ends_at_the_density(tmp_path: Path) -> None:
    network, outcome, events = run(tmp_path)
    assert [event["epoch"] for event in events] == [1, 2, 3, 4, 5, 6]
    densities = [event["density"] for event in events]
    assert densities[:2] == [1.0, 1.0]
    assert 1.0 > densities[2] > densities[3] == densities[4] == densities[5]
    assert density_of(network) == outcome.density == pytest.approx(0.3, abs=0.001)
    assert events[-1]["train_loss"] < 0.7 * events[0]["train_loss"]
    assert outcome.valid_accuracy == evaluate(network, SPLIT.valid) > 0.6
    assert outcome.epoch in (5, 6)


def test_a_data_set_may_have_one_class_after_the_other(tmp_path: Path) -> None:
    labels = torch.arange(1500) // 500
    noise = torch.randn(1500, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    images = noise + 3.0 * labels.view(-1, 1, 1, 1)  # statistics of one class are not those of all
    ordered = Examples(images=images, labels=labels)
    network = make_network(some_genotype(4), SMALL, GOAL)
    schedule = replace(SCHEDULE, dense_epochs=1, prune_epochs=1, tune_epochs=1, batch_size=60)
    outcome = train_final(
        network,
        Split(train=ordered, valid=ordered.sample(300)),
        schedule,
        GOAL,
        checkpoint=tmp_path / "train.pt",
        report=lambda _: None,
    )
    assert outcome.valid_accuracy > 0.9


def test_masked_weights_are_zero_and_dead_channels_silent(tmp_path: Path) -> None:
    network, _, _ = run(tmp_path, Goal(density=0.08, pattern=GOAL.pattern, seed=3))
    zeros = sum(int((layer.weight == 0).sum()) for layer in sparse_layers(network).values())
    kept = sum(layer.kept_weights() for layer in sparse_layers(network).values())
    assert zeros == sum(layer.weight.numel() for layer in sparse_layers(network).values()) - kept
    dead = 0
    for normed in normed_convs(network):
        weight = torch.cat([conv.weight.flatten(1) for conv in normed.convs])
        silent = ~weight.any(dim=1)
        dead += int(silent.sum())
        assert (normed.norm.bias[silent] == 0).all()
        assert (normed.norm.weight[silent] == 0).all()
    assert dead > 0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(tmp_path_factory.mktemp("whole"), split=SMALL_SPLIT)


@pytest.mark.parametrize("epoch", [1, 3, 5, 6])
def test_interrupted_training_ends_with_the_same_weights(
    tmp_path: Path, whole: Run, epoch: int
) -> None:
    network, outcome, events = whole
    with pytest.raises(KilledError):
        run(tmp_path, split=SMALL_SPLIT, stop_after=epoch)
    resumed, resumed_outcome, resumed_events = run(tmp_path, split=SMALL_SPLIT)
    assert resumed_events == events[epoch:]
    assert resumed_outcome == outcome
    for name, value in network.state_dict().items():
        other = resumed.state_dict()[name]
        assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other


def test_training_that_diverged_goes_on_from_the_epoch_before(tmp_path: Path, whole: Run) -> None:
    with pytest.raises(KilledError):
        run(tmp_path, split=SMALL_SPLIT, stop_after=3)
    sick = replace(SMALL_SPLIT, train=quadrants(24, 0))
    sick.train.images.fill_(math.nan)
    with pytest.raises(TrainingDivergedError, match="train: in epoch 4 the loss of step 1 is nan"):
        run(tmp_path, split=sick)
    _, outcome, events = run(tmp_path, split=SMALL_SPLIT)
    assert (outcome, events) == (whole[1], whole[2][3:])


def test_weights_out_of_range_are_not_checkpointed(tmp_path: Path) -> None:
    """The loss of the only step is finite; what the step makes of the weights is not."""
    schedule = replace(SCHEDULE, learning_rate=math.inf, batch_size=24)
    network = make_network(some_genotype(8), SMALL, GOAL)
    with pytest.raises(TrainingDivergedError, match="in epoch 1 a weight is infinite"):
        train_final(
            network,
            SMALL_SPLIT,
            schedule,
            GOAL,
            checkpoint=tmp_path / "train.pt",
            report=lambda _event: None,
        )
    assert not (tmp_path / "train.pt").exists()


def test_block_masks_share_indices(tmp_path: Path) -> None:
    network, outcome, _ = run(
        tmp_path, Goal(density=0.3, pattern=SparsityPattern.BLOCK, seed=0), SMALL_SPLIT
    )
    assert outcome.density == pytest.approx(0.3, abs=0.01)
    for layer in sparse_layers(network).values():
        for block in torch.split(layer.mask, BLOCK_ROWS):
            assert (block == block[:1]).all()


def test_seed_decides_the_weights() -> None:
    first, second = (make_network(some_genotype(8), SMALL, GOAL) for _ in range(2))
    other = make_network(some_genotype(8), SMALL, Goal(density=0.3, pattern=GOAL.pattern, seed=4))
    assert torch.equal(first.stem.conv.weight, second.stem.conv.weight)
    assert not torch.equal(first.stem.conv.weight, other.stem.conv.weight)


def test_making_a_network_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()
    make_network(some_genotype(8), SMALL, GOAL)
    assert torch.equal(torch.get_rng_state(), before)


def test_scores_are_not_trained(tmp_path: Path) -> None:
    """Scores follow the weights; an optimiser with weight decay would shrink them."""
    network, _, _ = run(tmp_path, split=SMALL_SPLIT)
    for layer in sparse_layers(network).values():
        assert not layer.score.requires_grad
        assert layer.score.grad is None


def test_every_recipe_has_a_schedule() -> None:
    assert set(TRAIN_SCHEDULES) == set(RECIPE_NAMES)
    assert all(schedule.tune_epochs >= 1 for schedule in TRAIN_SCHEDULES.values())


def test_unknown_recipe_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown recipe 'slow'"):
        schedule_for("slow")


def test_schedule_without_fine_tuning_is_refused() -> None:
    with pytest.raises(ValueError, match="an epoch each"):
        replace(SCHEDULE, tune_epochs=0)
