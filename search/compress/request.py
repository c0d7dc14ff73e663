"""What a compression is asked to do, as plain values that the trainer reads from JSON. No torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from search.requests import MAX_SEED, RECIPE_NAMES, DatasetRef, DeviceBudget
from search.space.rivals import PARENTS
from search.space.sparsity import MaskRule

ONNX_SUFFIX = ".onnx"
# Of the recipe's learning rate, for weights that are trained already.
TUNING_RATE = 0.1


class Axis(StrEnum):
    """What a plan may choose for each layer."""

    PATTERN = "pattern"  # sparsity: a pattern and a density
    INT8 = "int8"  # stock kernels of int8 instead of float32


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """How much is learnt from the dense parent; see `search.finalize.teacher`."""

    weight: float = 0.5
    temperature: float = 4.0

    def __post_init__(self) -> None:
        if not 0.0 < self.weight <= 1.0:
            raise ValueError(
                f"compress: weight of distillation must be above 0 and at most 1, got {self.weight}"
            )
        if not (self.temperature > 0.0 and math.isfinite(self.temperature)):
            raise ValueError(
                f"compress: temperature of distillation must be above 0, got {self.temperature}"
            )


@dataclass(frozen=True, kw_only=True)
class CompressRequest:
    """One network, its data, and the latency that it may take on a device.

    Raises:
        ValueError: a field is out of range; the message names it.
    """

    dataset: DatasetRef
    network: str  # one of PARENTS, trained here first, or the path of an ONNX file with its weights
    budget_ms: float  # latency of one image on the target
    width: float = 1.0  # of a network of PARENTS: every channel count times this
    seed: int = 0
    recipe: str = "quick"  # one of RECIPE_NAMES, whose schedule of the final training is used
    # What is chosen by layer. A network is sparse or in part int8, whichever loses less.
    axes: tuple[Axis, ...] = (Axis.PATTERN,)
    mask_rule: MaskRule = MaskRule.HARD  # how weights leave
    # Peak of the fine-tuning; None: TUNING_RATE of the recipe's.
    learning_rate: float | None = None
    distillation: Distillation | None = None  # None: the labels alone are learnt
    tighten: float = 1.0  # factor on the budget, below 1 after a network was measured too slow
    device: str = ""  # what results call the device

    def __post_init__(self) -> None:
        object.__setattr__(self, "mask_rule", MaskRule(self.mask_rule))
        object.__setattr__(self, "axes", _checked_axes(self.axes))
        if self.network not in PARENTS and not self.network.endswith(ONNX_SUFFIX):
            raise ValueError(
                f"compress: network must be one of {list(PARENTS)} or the path of an ONNX file "
                f"(*{ONNX_SUFFIX}), got {self.network!r}"
            )
        if not 0.0 < self.width <= 8.0:
            raise ValueError(f"compress: width must be above 0 and at most 8, got {self.width}")
        if self.is_given and self.width != 1.0:
            raise ValueError("compress: width is for the built-in networks only")
        if self.recipe not in RECIPE_NAMES:
            raise ValueError(
                f"compress: unknown recipe {self.recipe!r}; allowed: {list(RECIPE_NAMES)}"
            )
        if not 0 <= self.seed <= MAX_SEED:
            raise ValueError(f"compress: seed must be from 0 to {MAX_SEED}, got {self.seed}")
        rate = self.learning_rate
        if rate is not None and not (rate > 0.0 and math.isfinite(rate)):
            raise ValueError(f"compress: learning_rate must be above 0, got {rate}")
        _ = self.budget  # refuses one that is out of range

    @property
    def is_given(self) -> bool:
        """Whether the network is the user's own."""
        return self.network not in PARENTS

    @property
    def budget(self) -> DeviceBudget:
        """What one image may take."""
        return DeviceBudget(device=self.device, budget_ms=self.budget_ms, tighten=self.tighten)


def _checked_axes(axes: Sequence[str]) -> tuple[Axis, ...]:
    allowed = [axis.value for axis in Axis]
    if not axes or not set(axes) <= set(allowed):
        raise ValueError(f"compress: axes must be some of {allowed}, got {list(axes)}")
    return tuple(dict.fromkeys(map(Axis, axes)))
