"""Final training of one network: dense, pruned, fine-tuned; the loop on a page.

Which weights are kept, and how many of each layer, is for the schedule to say. Batch norm of a
channel that lost all its weights is held at zero, so that export can remove it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latency.host_lock import training_step
from search.data.batches import (
    Augmentation,
    Examples,
    batches,
    seeded_generator,
    split_examples,
)
from search.engine.checkpoint import resume_point, save_checkpoint
from search.engine.device import CPU, mixed_precision
from search.engine.divergence import check_finite, finite_loss
from search.finalize.final_network import FinalNetwork
from search.finalize.graph_network import GraphNetwork
from search.finalize.run import Goal, TrainingRun, TrainOutcome
from search.finalize.schedule import TrainSchedule
from search.finalize.stage_network import StageNetwork
from search.layers.memory import memory_format
from search.layers.sparse import density_of, set_pattern
from search.layers.statistics import restate_norms
from search.space.genotype import Genotype
from search.space.graph_genotype import GraphGenotype
from search.space.networks import AnyGenotype
from search.space.stage_genotype import StageGenotype
from search.space.task import TaskShape

_EVALUATION_BATCH = 256
_RESTATED = 512  # training images at most that batch norm statistics are taken from

AnyNetwork = FinalNetwork | StageNetwork | GraphNetwork

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class Split:
    """The training images of a data set in two; no test images come near the training."""

    train: Examples
    valid: Examples  # chooses the epoch, never trained on


def split_training(examples: Examples, seed: int, valid_fraction: float) -> Split:
    """Return training images in two; a seed repeats the choice.

    Raises:
        ValueError: a class has a single image.
    """
    generator = seeded_generator(seed, "validation")
    valid, train = split_examples(examples, valid_fraction, generator)
    return Split(train=train, valid=valid)


@overload
def make_network(
    genotype: Genotype, task: TaskShape, goal: Goal, device: torch.device = CPU
) -> FinalNetwork: ...


@overload
def make_network(
    genotype: StageGenotype, task: TaskShape, goal: Goal, device: torch.device = CPU
) -> StageNetwork: ...


@overload
def make_network(
    genotype: GraphGenotype, task: TaskShape, goal: Goal, device: torch.device = CPU
) -> GraphNetwork: ...


def make_network(
    genotype: AnyGenotype, task: TaskShape, goal: Goal, device: torch.device = CPU
) -> AnyNetwork:
    """Return the untrained network; the seed decides every weight."""
    network: AnyNetwork
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(goal.seed)
        if isinstance(genotype, StageGenotype):
            network = StageNetwork(genotype, task)
        elif isinstance(genotype, GraphGenotype):
            network = GraphNetwork(genotype, task)
        else:
            network = FinalNetwork(genotype, task)
    set_pattern(network, goal.pattern)
    return network.to(device, memory_format=memory_format())  # type: ignore[call-overload, no-any-return]


def train_final(
    network: nn.Module,
    split: Split,
    schedule: TrainSchedule,
    goal: Goal,
    *,
    checkpoint: Path,
    report: Report,
) -> TrainOutcome:
    """Train `network` in place and leave it with the weights of its best fine-tuned epoch.

    Each epoch is checkpointed; a run that finds a checkpoint goes on from there and ends with the
    same weights as one that was never interrupted.

    Raises:
        TrainingDivergedError: a loss or a weight is no longer finite.
    """
    run = TrainingRun(network, schedule, goal, count_steps(len(split.train), schedule.batch_size))
    if (state := resume_point(checkpoint)) is not None:
        run.load_state_dict(state)
    while run.epoch < schedule.epochs:
        loss = _train_epoch(run, split.train)
        check_finite(network.parameters(), "train", run.epoch + 1)
        _restate(network, split.train, schedule.batch_size)
        accuracy = evaluate(network, split.valid)
        run.finish_epoch(accuracy)
        save_checkpoint(checkpoint, run.state_dict())
        report(
            {
                "epoch": run.epoch,
                "epochs": schedule.epochs,
                "train_loss": loss,
                "valid_accuracy": accuracy,
                "density": density_of(network),
            }
        )
    return run.take_best()


def count_steps(images: int, batch_size: int) -> int:
    """Return how many batches an epoch has: full ones, or a single smaller one."""
    return max(1, images // batch_size)


@torch.no_grad()
def evaluate(network: nn.Module, examples: Examples) -> float:
    """Return the fraction of `examples` that are classified rightly."""
    network.eval()
    right = 0
    for start in range(0, len(examples), _EVALUATION_BATCH):
        part = slice(start, start + _EVALUATION_BATCH)
        with training_step():
            logits = network(_in_order(examples.images[part]))
        right += int((logits.argmax(dim=1) == examples.labels[part]).sum())
    return right / len(examples)


def _train_epoch(run: TrainingRun, train: Examples) -> float:
    """Take every step of one epoch; return the mean training loss."""
    run.network.train()
    schedule = run.schedule
    generator = seeded_generator(run.goal.seed, "final", run.epoch)
    augmentation = Augmentation(shift=schedule.shift, flip=schedule.flip)
    total = 0.0
    shuffled = batches(train, schedule.batch_size, generator, augmentation)
    for step, (images, labels) in enumerate(shuffled):
        with training_step():
            run.prepare_step(step)
            with mixed_precision(images.device):
                logits = run.network(_in_order(images)).float()
            loss = F.cross_entropy(logits, labels, label_smoothing=schedule.label_smoothing)
            if run.goal.teacher is not None:
                loss = run.goal.teacher.loss(loss, logits, _in_order(images))
            run.finish_step(loss)
        total += finite_loss(loss, "train", run.epoch + 1, step + 1)
    return total / run.steps


def _restate(network: nn.Module, train: Examples, batch_size: int) -> None:
    """Take batch norm statistics from training images as they are, without augmentation."""
    size = min(batch_size, len(train))
    count = min(_RESTATED, len(train)) // size * size
    with training_step():
        restate_norms(
            network,
            lambda images: network(_in_order(images)),
            torch.split(train.sample(count).images, size),
        )


def _in_order(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=memory_format())
