"""Schedules of the final training, one per recipe."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class TrainSchedule:
    """Dense, then pruned step by step, then fine-tuned at the final density.

    Raises:
        ValueError: there is no epoch to prune or none to fine-tune.
    """

    dense_epochs: int
    prune_epochs: int  # density falls by a cubic curve (Zhu and Gupta, arXiv 1710.01878)
    tune_epochs: int  # masks are fixed
    batch_size: int
    learning_rate: float  # peak; one cosine over all epochs
    weight_decay: float
    momentum: float = 0.9
    label_smoothing: float = 0.0
    warmup_epochs: int = 1  # linear, from zero
    clip_norm: float = 5.0
    shift: int = 1  # random crops after padding by this many pixels; 0 turns them off
    flip: bool = False  # mirrored images; wrong for digits and letters
    valid_fraction: float = 0.1  # of the training set; chooses the epoch, never trained on

    def __post_init__(self) -> None:
        if self.dense_epochs < 0 or min(self.prune_epochs, self.tune_epochs) < 1:
            raise ValueError("schedule: pruning and fine-tuning need an epoch each")

    @property
    def epochs(self) -> int:
        """All epochs together."""
        return self.dense_epochs + self.prune_epochs + self.tune_epochs


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
        dense_epochs=6,
        prune_epochs=4,
        tune_epochs=5,
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
TRAIN_SCHEDULES["gpu"] = replace(
    TRAIN_SCHEDULES["standard"],
    dense_epochs=60,
    prune_epochs=20,
    tune_epochs=40,
    batch_size=256,
    learning_rate=0.1,
)


def schedule_for(recipe: str) -> TrainSchedule:
    """Return the schedule of a recipe.

    Raises:
        ValueError: there is no such recipe.
    """
    if recipe not in TRAIN_SCHEDULES:
        raise ValueError(f"train: unknown recipe {recipe!r}; allowed: {list(TRAIN_SCHEDULES)}")
    return TRAIN_SCHEDULES[recipe]
