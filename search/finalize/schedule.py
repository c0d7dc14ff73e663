"""Schedules of the final training, one per recipe."""

from dataclasses import dataclass, replace
from enum import StrEnum

from search.space.sparsity import Allocation, MaskRule


class Pruner(StrEnum):
    """What decides which weights stay."""

    MAGNITUDE = "magnitude"  # the weights themselves, which are trained on meanwhile
    SCORES = "scores"  # scores that are trained while the weights rest: HYDRA, arXiv 2002.10509


@dataclass(frozen=True, kw_only=True)
class TrainSchedule:
    """Dense, then pruned, then fine-tuned at the final density.

    Raises:
        ValueError: there is no epoch to prune or none to fine-tune, or scores that are trained are
            to obey a rule for weights.
    """

    dense_epochs: int
    prune_epochs: int
    tune_epochs: int  # masks are fixed
    batch_size: int
    learning_rate: float  # peak
    weight_decay: float  # of scores as well, where they are trained
    pruner: Pruner = Pruner.MAGNITUDE
    mask_rule: MaskRule = MaskRule.HARD  # how weights leave where they decide themselves
    allocation: Allocation = Allocation.GLOBAL  # LAMP, arXiv 2010.07611; DASS: per layer
    # While pruned the density falls by a cubic curve (Zhu and Gupta, arXiv 1710.01878); DASS and
    # HYDRA start at its end.
    annealed: bool = True
    # Peaks of the rate while pruned and while fine-tuned, with a cosine for each phase; None: one
    # cosine over all epochs.
    phase_rates: tuple[float, float] | None = None
    momentum: float = 0.9
    nesterov: bool = True
    label_smoothing: float = 0.0
    warmup_epochs: int = 1  # linear, from zero
    clip_norm: float = 5.0
    shift: int = 1  # random crops after padding by this many pixels; 0 turns them off
    flip: bool = False  # mirrored images; wrong for digits and letters
    valid_fraction: float = 0.1  # of the training set; chooses the epoch, never trained on

    def __post_init__(self) -> None:
        if self.dense_epochs < 0 or min(self.prune_epochs, self.tune_epochs) < 1:
            raise ValueError("schedule: pruning and fine-tuning need an epoch each")
        if self.pruner is Pruner.SCORES and self.mask_rule is not MaskRule.HARD:
            raise ValueError(
                f"schedule: mask rule {self.mask_rule.value!r} moves weights, which rest while "
                "scores are trained; only 'hard' is allowed there"
            )

    @property
    def epochs(self) -> int:
        """All epochs together."""
        return self.dense_epochs + self.prune_epochs + self.tune_epochs

    def phase_of(self, epoch: int) -> tuple[float, int, int]:
        """Return peak, first epoch and length of the cosine that an epoch (from 0) is part of."""
        if self.phase_rates is None:
            return self.learning_rate, 0, self.epochs
        first_tuned = self.dense_epochs + self.prune_epochs
        if epoch < self.dense_epochs:
            return self.learning_rate, 0, self.dense_epochs
        if epoch < first_tuned:
            return self.phase_rates[0], self.dense_epochs, self.prune_epochs
        return self.phase_rates[1], first_tuned, self.tune_epochs


TRAIN_SCHEDULES = {
    "tiny": TrainSchedule(
        dense_epochs=1,
        prune_epochs=1,
        tune_epochs=1,
        batch_size=128,
        learning_rate=0.1,
        weight_decay=1e-4,
    ),
    "quick": TrainSchedule(
        dense_epochs=4,
        prune_epochs=3,
        tune_epochs=3,
        batch_size=32,
        learning_rate=0.1,
        weight_decay=3e-4,
    ),
    "standard": TrainSchedule(
        dense_epochs=150,
        prune_epochs=50,
        tune_epochs=100,
        batch_size=96,
        learning_rate=0.025,
        weight_decay=3e-4,
        shift=4,
        flip=True,
    ),
}
TRAIN_SCHEDULES["cpu"] = replace(
    TRAIN_SCHEDULES["quick"],
    dense_epochs=4,
    prune_epochs=4,
    tune_epochs=4,
    batch_size=64,
    weight_decay=5e-4,
    shift=4,
    flip=True,
)
TRAIN_SCHEDULES["gpu"] = replace(
    TRAIN_SCHEDULES["standard"],
    dense_epochs=60,
    prune_epochs=20,
    tune_epochs=40,
    batch_size=256,
    learning_rate=0.1,
)
# The published training of a cell, as far as the authors' repository tells it (HERO-MDH/DASS-
# Differentiable-Architecture-Search-for-Sparse-Neural-Networks, `Hydra/configs/configs.yml` and
# `Hydra/train.py`; dense epochs and rate only from comments there). Their auxiliary head and drop-path are
# left out. Days on one GPU: a benchmark shortens it.
TRAIN_SCHEDULES["dass-paper"] = TrainSchedule(
    dense_epochs=600,
    prune_epochs=20,
    tune_epochs=200,
    batch_size=128,
    learning_rate=0.025,
    phase_rates=(0.1, 0.01),
    weight_decay=4e-4,
    pruner=Pruner.SCORES,
    allocation=Allocation.PER_LAYER,
    annealed=False,
    nesterov=False,
    warmup_epochs=0,
    shift=4,
    flip=True,
)


def schedule_for(recipe: str) -> TrainSchedule:
    """Return the schedule of a recipe.

    Raises:
        ValueError: there is no such recipe.
    """
    if recipe not in TRAIN_SCHEDULES:
        raise ValueError(f"train: unknown recipe {recipe!r}; allowed: {list(TRAIN_SCHEDULES)}")
    return TRAIN_SCHEDULES[recipe]
