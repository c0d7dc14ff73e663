"""One final training in progress: everything that a checkpoint has to hold."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from latency.operator import SparsityPattern
from search.finalize.final_network import FinalNetwork
from search.finalize.prune import (
    apply_masks,
    cubic_density,
    prune,
    prune_at_random,
    silence_dead_channels,
)
from search.finalize.schedule import TrainSchedule
from search.layers.sparse import density_of


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What the trained network has to be."""

    density: float  # fraction of all weights that are kept
    pattern: SparsityPattern
    seed: int
    # Densities of the layers where masks are drawn at random; None: the largest weights stay.
    random_masks: Mapping[str, float] | None = None


@dataclass(frozen=True, kw_only=True)
class TrainOutcome:
    """How the training ended."""

    valid_accuracy: float  # of the chosen epoch
    epoch: int  # chosen among the fine-tuned ones, counted from 1
    density: float


class TrainingRun:
    """Network, optimiser and position of one training, and the best epoch so far.

    Args:
        network: trained in place.
        schedule: lengths of the phases and the optimiser's settings.
        goal: density, pattern, seed.
        steps: optimiser steps per epoch.
    """

    def __init__(
        self, network: FinalNetwork, schedule: TrainSchedule, goal: Goal, steps: int
    ) -> None:
        self.network = network
        self.schedule = schedule
        self.goal = goal
        self.steps = steps
        self.epoch = 0  # finished epochs
        self.best: dict[str, Any] | None = None
        # Scores follow the weights here; they are never trained and so must not decay.
        weights = [value for name, value in network.named_parameters() if not _is_score(name)]
        self.optimizer = torch.optim.SGD(
            weights,
            lr=schedule.learning_rate,
            momentum=schedule.momentum,
            weight_decay=schedule.weight_decay,
            nesterov=True,
        )

    def prepare_step(self, step: int) -> None:
        """Set the learning rate, and prune where the schedule says so, before a step (from 0)."""
        done = self.epoch * self.steps + step
        rate = self.schedule.learning_rate * self._rate(done)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        done -= self.schedule.dense_epochs * self.steps
        length, every = self.schedule.prune_epochs * self.steps, self._prune_every()
        if 0 <= done < length and done % every == 0:
            # Counted from the end of the interval: the last of them reaches the goal exactly.
            self._prune((done + every) / length)

    def finish_step(self, loss: Tensor) -> None:
        """Take one optimiser step along the gradients of `loss`."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.schedule.clip_norm)
        self.optimizer.step()
        if self.fine_tuning:
            silence_dead_channels(self.network)

    @property
    def fine_tuning(self) -> bool:
        """Whether the masks are final in the present epoch."""
        return self.epoch >= self.schedule.dense_epochs + self.schedule.prune_epochs

    def finish_epoch(self, valid_accuracy: float) -> None:
        """Count the epoch, and remember it if it is the best one at the final density."""
        fine_tuned = self.fine_tuning
        self.epoch += 1
        # Of equal epochs the later one, which was trained longer.
        if fine_tuned and (self.best is None or valid_accuracy >= self.best["valid_accuracy"]):
            self.best = {
                "valid_accuracy": valid_accuracy,
                "epoch": self.epoch,
                "network": _copy(self.network.state_dict()),
            }

    def take_best(self) -> TrainOutcome:
        """Load the best epoch into the network, masked weights set to zero."""
        assert self.best is not None
        self.network.load_state_dict(self.best["network"])
        apply_masks(self.network)
        self.network.eval()
        return TrainOutcome(
            valid_accuracy=self.best["valid_accuracy"],
            epoch=self.best["epoch"],
            density=density_of(self.network),
        )

    def state_dict(self) -> dict[str, Any]:
        """Return all that resuming exactly needs; randomness is a function of seed and epoch."""
        return {
            "epoch": self.epoch,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict`."""
        self.epoch = state["epoch"]
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best = state["best"]

    def _prune(self, progress: float) -> None:
        goal = self.goal
        if goal.random_masks is None:
            prune(self.network, cubic_density(progress, goal.density))
        else:
            prune_at_random(self.network, goal.random_masks, progress, goal.seed)

    def _rate(self, done: int) -> float:
        """Return the factor on the learning rate: linear warm-up times a cosine to zero."""
        warmup = max(1, self.schedule.warmup_epochs * self.steps)
        cosine = 0.5 * (1.0 + math.cos(math.pi * done / (self.schedule.epochs * self.steps)))
        return min(1.0, (done + 1) / warmup) * cosine

    def _prune_every(self) -> int:
        """Return after how many steps masks are renewed: the phase is a multiple of it."""
        length = self.schedule.prune_epochs * self.steps
        return next(every for every in (8, 7, 6, 5, 4, 3, 2, 1) if length % every == 0)


def _is_score(name: str) -> bool:
    return name.endswith("score")


def _copy(state: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.detach().clone() if isinstance(value, Tensor) else dict(value)
        for name, value in state.items()
    }
