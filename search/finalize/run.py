"""One final training in progress: everything that a checkpoint has to hold."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from latency.operator import SparsityPattern
from search.engine.schedule import annealed_density
from search.finalize.layer_plan import LayerPlan
from search.finalize.prune import (
    apply_masks,
    approach,
    fix_masks,
    prune,
    prune_at_random,
    prune_by_plan,
    rank_weights,
    silence_dead_channels,
)
from search.finalize.schedule import Pruner, TrainSchedule
from search.finalize.teacher import Teacher
from search.layers.admm import AlternatingDirections
from search.layers.allocation import allocate
from search.layers.mask_rules import apply_mask_rule
from search.layers.sparse import (
    LayerMode,
    density_of,
    reset_scores,
    set_mode,
    sparse_layers,
)
from search.space.sparsity import MaskRule, Sparsity


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What the trained network has to be."""

    density: float  # fraction of all weights that are kept, where the layers have no plan
    pattern: SparsityPattern  # of all layers, likewise
    seed: int
    # Plans the layers when the dense phase is over; None: one density and one pattern for all.
    plan: Callable[[nn.Module], LayerPlan] | None = None
    # What the layers end as where masks are drawn at random; None: the largest weights stay.
    random_masks: Mapping[str, Sparsity] | None = None
    teacher: Teacher | None = None  # of which the logits are learnt beside the labels


@dataclass(frozen=True, kw_only=True)
class TrainOutcome:
    """How the training ended."""

    valid_accuracy: float  # of the chosen epoch
    epoch: int  # chosen among the fine-tuned ones, counted from 1
    density: float
    plan: LayerPlan | None = None  # by which the layers were pruned


class TrainingRun:
    """Network, optimiser and position of one training, and the best epoch so far.

    Args:
        network: trained in place; its layers are those of `search.layers.sparse`.
        schedule: lengths of the phases and the optimiser's settings.
        goal: density, pattern, seed.
        steps: optimiser steps per epoch.
    """

    def __init__(self, network: nn.Module, schedule: TrainSchedule, goal: Goal, steps: int) -> None:
        self.network = network
        self.schedule = schedule
        self.goal = goal
        self.steps = steps
        self.epoch = 0  # finished epochs
        self.best: dict[str, Any] | None = None
        self.plan: LayerPlan | None = None
        self.admm = AlternatingDirections()  # empty under every other rule
        # Where scores follow the weights, they are not trained and so must not decay.
        weights = [value for name, value in network.named_parameters() if not _is_score(name)]
        self.optimizer = self._make_optimizer(weights)
        scores = [value for name, value in network.named_parameters() if _is_score(name)]
        self.score_optimizer = self._make_optimizer([*scores, *_norm_parameters(network)])

    def prepare_step(self, step: int) -> None:
        """Set the learning rate, and prune where the schedule says so, before a step (from 0)."""
        done = self.epoch * self.steps + step
        self._active_optimizer().param_groups[0]["lr"] = self._rate(done)
        done -= self.schedule.dense_epochs * self.steps
        if done == 0 and self.goal.plan is not None:
            self.plan = self.goal.plan(self.network)
        if self._has_scores:
            self._switch_scores(done)
        length, every = self.schedule.prune_epochs * self.steps, self._prune_every()
        if 0 <= done < length and done % every == 0:
            # Counted from the end of the interval: the last of them reaches the goal exactly.
            self._prune((done + every) / length if self.schedule.annealed else 1.0)
        if self._has_rule and done == length:
            self._mask_at_last()

    def finish_step(self, loss: Tensor) -> None:
        """Take one optimiser step along the gradients of `loss`."""
        optimizer = self._active_optimizer()
        self.network.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        parameters = optimizer.param_groups[0]["params"]
        torch.nn.utils.clip_grad_norm_(parameters, self.schedule.clip_norm)
        optimizer.step()
        if self._has_rule and self._pruning:
            self._apply_rule(optimizer.param_groups[0]["lr"])
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
            plan=self.plan,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return all that resuming exactly needs; randomness is a function of seed and epoch."""
        return {
            "epoch": self.epoch,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "score_optimizer": self.score_optimizer.state_dict(),
            "best": self.best,
            "plan": None if self.plan is None else self.plan.to_dict(),
            "admm": self.admm.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict`."""
        self.epoch = state["epoch"]
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.score_optimizer.load_state_dict(state["score_optimizer"])
        self.best = state["best"]
        plan = state.get("plan")  # earlier versions had none
        self.plan = None if plan is None else LayerPlan.from_dict(plan)
        if "admm" in state:
            self.admm.load_state_dict(state["admm"])

    def _prune(self, progress: float) -> None:
        """Choose anew what is kept; scores go on being trained, weights are masked."""
        goal, plan, allocation = self.goal, self.plan, self.schedule.allocation
        density = annealed_density(goal.density, progress)
        if goal.random_masks is not None:
            prune_at_random(self.network, goal.random_masks, progress, goal.seed)
        elif self._has_scores and plan is not None:
            approach(self.network, plan.layers, progress)
        elif self._has_scores:
            allocate(sparse_layers(self.network), density, allocation)
        elif plan is not None and self._has_rule:
            reset_scores(self.network)
            approach(self.network, plan.layers, progress)
        elif plan is not None:
            prune_by_plan(self.network, plan.layers, progress)
        elif self._has_rule:
            rank_weights(self.network, density, allocation)
        else:
            prune(self.network, density, allocation)
        if self._has_rule and self.schedule.mask_rule is MaskRule.ADMM:
            self.admm.project(sparse_layers(self.network))

    def _apply_rule(self, rate: float) -> None:
        """Move the weights as the mask rule says, after a step of the optimiser at this rate."""
        layers, rule = sparse_layers(self.network), self.schedule.mask_rule
        if rule is MaskRule.ADMM:
            self.admm.pull(layers, rate)
        else:
            apply_mask_rule(layers.values(), rule, rate)

    def _mask_at_last(self) -> None:
        """Mask what a rule has let go, and no more than the goal says."""
        if self.plan is None:
            prune(self.network, self.goal.density, self.schedule.allocation)
        else:
            prune_by_plan(self.network, self.plan.layers, 1.0)

    @property
    def _has_scores(self) -> bool:
        """Whether scores are trained; random masks and dense networks leave them nothing to choose.

        Weights rest while scores are trained, which a dense control is spared.
        """
        return self._chooses and self.schedule.pruner is Pruner.SCORES

    @property
    def _has_rule(self) -> bool:
        """Whether weights that leave do so by a rule of their own, and are masked at the end only."""
        return self._chooses and self.schedule.mask_rule is not MaskRule.HARD

    @property
    def _chooses(self) -> bool:
        prunes = self.goal.plan is not None or self.goal.density < 1.0
        return prunes and self.goal.random_masks is None

    @property
    def _pruning(self) -> bool:
        """Whether the present epoch is one of those in which the density falls."""
        return self.schedule.dense_epochs <= self.epoch and not self.fine_tuning

    def _switch_scores(self, done: int) -> None:
        """Begin or end the training of scores, at that many steps behind the dense phase."""
        if done == 0:
            reset_scores(self.network)
            set_mode(self.network, LayerMode.SCORES)
        if done == self.schedule.prune_epochs * self.steps:
            fix_masks(self.network)
            self.optimizer.state.clear()  # its momentum is that of the dense network

    def _active_optimizer(self) -> torch.optim.SGD:
        """Return what trains in the present epoch: scores in their phase, else the weights."""
        return self.score_optimizer if self._pruning and self._has_scores else self.optimizer

    def _make_optimizer(self, parameters: list[nn.Parameter]) -> torch.optim.SGD:
        return torch.optim.SGD(
            parameters,
            lr=self.schedule.learning_rate,
            momentum=self.schedule.momentum,
            weight_decay=self.schedule.weight_decay,
            nesterov=self.schedule.nesterov,
        )

    def _rate(self, done: int) -> float:
        """Return the learning rate after `done` steps: linear warm-up times cosines to zero."""
        schedule = self.schedule
        warmup = min(1.0, (done + 1) / max(1, schedule.warmup_epochs * self.steps))
        peak, start, length = schedule.phase_of(self.epoch)
        done -= start * self.steps
        cosine = 0.5 * (1.0 + math.cos(math.pi * done / (length * self.steps)))
        return peak * (warmup * cosine)

    def _prune_every(self) -> int:
        """Return after how many steps masks are renewed: the phase is a multiple of it."""
        length = self.schedule.prune_epochs * self.steps
        return next(every for every in (8, 7, 6, 5, 4, 3, 2, 1) if length % every == 0)


def _norm_parameters(network: nn.Module) -> list[nn.Parameter]:
    """Return scales and shifts of batch norms: they are trained together with scores too."""
    norms = (module for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    return [parameter for norm in norms for parameter in norm.parameters()]


def _is_score(name: str) -> bool:
    return name.endswith("score")


def _copy(state: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.detach().clone() if isinstance(value, Tensor) else dict(value)
        for name, value in state.items()
    }
