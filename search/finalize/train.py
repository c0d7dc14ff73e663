"""Final training of one network: dense, pruned step by step, fine-tuned; the algorithm on a page.

The masks come from magnitudes and are global: one threshold for the whole network, with floors.
Batch norm of a channel that lost all its weights is held at zero, so that export can remove it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latency.host_lock import training_step
from latency.operator import SparsityPattern
from search.finalize.final_network import FinalNetwork
from search.finalize.prune import apply_masks, cubic_density, prune, silence_dead_channels
from search.finalize.schedule import TrainSchedule
from search.layers.sparse import density_of, set_pattern


@dataclass(frozen=True, kw_only=True)
class TrainData:
    """Images (N, C, H, W) float32 and labels (N,) int64; the validation part is never trained on."""

    train_images: Tensor
    train_labels: Tensor
    valid_images: Tensor
    valid_labels: Tensor


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What the trained network has to be."""

    density: float  # fraction of all weights that are kept
    pattern: SparsityPattern
    seed: int


@dataclass(frozen=True, kw_only=True)
class TrainOutcome:
    """How the training ended."""

    valid_accuracy: float  # of the chosen epoch
    epoch: int  # chosen among the fine-tuned ones, counted from zero
    density: float


Report = Callable[[dict[str, Any]], None]


def make_network(genotype: Genotype, task: TaskShape, goal: Goal) -> FinalNetwork:
    """Return the untrained network; the seed decides every weight."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(goal.seed)
        network = FinalNetwork(genotype, task)
    set_pattern(network, goal.pattern)
    # Channels last is 1.5 times as fast for these small depthwise layers on a processor.
    return network.to(memory_format=torch.channels_last)


def train_final(
    network: FinalNetwork,
    data: TrainData,
    schedule: TrainSchedule,
    goal: Goal,
    checkpoint: Path,
    report: Report,
) -> TrainOutcome:
    """Train `network` in place and leave it with the weights of its best fine-tuned epoch.

    Each epoch is checkpointed; a run that finds a checkpoint goes on from there and ends with the
    same weights as one that was never interrupted.
    """
    run = _Run(network, schedule, goal)
    run.restore(checkpoint)
    while run.epoch < schedule.epochs:
        loss = _train_epoch(run, data)
        accuracy = evaluate(network, data.valid_images, data.valid_labels)
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


@torch.no_grad()
def evaluate(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the fraction of `images` that are classified as `labels`, 0 where there are none."""
    network.eval()
    right = sum(
        int((network(channels_last(batch)).argmax(dim=1) == truth).sum())
        for batch, truth in zip(images.split(256), labels.split(256), strict=True)
    )
    return right / max(1, len(labels))
