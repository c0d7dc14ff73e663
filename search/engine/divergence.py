"""A training whose numbers are not finite any more ends: no later step can repair that."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor


class TrainingDivergedError(ValueError):
    """A loss or a weight is not a finite number. Nothing of this epoch was kept.

    Args:
        stage: `search` or `train`.
        epoch: counted from 1.
        what: is not finite: a clause.
    """

    def __init__(self, stage: str, epoch: int, what: str) -> None:
        kept = f"; the checkpoint of epoch {epoch - 1} is kept" if epoch > 1 else ""
        super().__init__(
            f"{stage}: in epoch {epoch} {what}; only finite numbers can be trained on{kept}"
        )
        self.code = "training-diverged"
        self.epoch = epoch


def finite_loss(loss: Tensor, stage: str, epoch: int, step: int) -> float:
    """Return the value of a loss.

    Args:
        loss: a scalar.
        stage: `search` or `train`, for the message.
        epoch: counted from 1.
        step: within the epoch, counted from 1.

    Raises:
        TrainingDivergedError: it is infinite or no number.
    """
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TrainingDivergedError(stage, epoch, f"the loss of step {step} is {value:g}")
    return value


def check_finite(values: Iterable[Tensor], stage: str, epoch: int) -> None:
    """Refuse weights that a finite loss has driven out of range: they must not be checkpointed.

    Raises:
        TrainingDivergedError: one is infinite or no number.
    """
    if not all(bool(torch.isfinite(value).all()) for value in values):
        raise TrainingDivergedError(stage, epoch, "a weight is infinite or no number")
