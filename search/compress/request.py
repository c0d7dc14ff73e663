"""What a compression is asked to do, as plain values that the trainer reads from JSON. No torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from search.requests import MAX_SEED, MAX_SEEDS, RECIPE_NAMES, DatasetRef, DeviceBudget
from search.space.rivals import PARENTS
from search.space.sparsity import MaskRule
from search.space.task import TaskShape

ONNX_SUFFIX = ".onnx"
# Of the recipe's learning rate, for weights that are trained already.
TUNING_RATE = 0.1


class Distortion(StrEnum):
    """By what a plan judges how much a layer loses when it is pruned."""

    ENERGY = "energy"  # share of its squared weights that is dropped: `finalize.energies`
    FIRST_ORDER = "first-order"  # gradient times weight, of what is dropped: `sensitivities`
    SECOND_ORDER = "second-order"  # squared gradient times squared weight, likewise
    ONE_SHOT = "one-shot"  # rise of the loss with this layer alone pruned: `one_shot`


class Mapping(StrEnum):
    """How layers get their patterns and densities; see `search.compress.planner`."""

    SEARCH = "search"  # knapsack over every measured pattern and density of each layer
    RULE = "rule"  # the pattern follows from the kernel; knapsack over its densities
    UNIFORM = "uniform"  # one pattern and one density for all layers: the rival
    EVOLUTION = "evolution"  # of `search`, changed while the whole plan loses less at one shot


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
    seeds: int = 1  # trainings of the network, and of each of its controls, that are compared
    recipe: str = "quick"  # one of RECIPE_NAMES, whose schedule of the final training is used
    distortion: Distortion = Distortion.ENERGY  # what a plan holds down
    mapping: Mapping = Mapping.SEARCH  # who chooses patterns and densities
    # What is chosen by layer. A network is sparse or in part int8, whichever loses less.
    axes: tuple[Axis, ...] = (Axis.PATTERN,)
    mask_rule: MaskRule = MaskRule.HARD  # how weights leave
    # Peak of the fine-tuning; None: TUNING_RATE of the recipe's.
    learning_rate: float | None = None
    distillation: Distillation | None = None  # None: the labels alone are learnt
    tighten: float = 1.0  # factor on the budget, below 1 after a network was measured too slow
    device: str = ""  # what results call the device
    task: TaskShape | None = None  # what the data set must turn out to be; None: not known yet

    def __post_init__(self) -> None:
        object.__setattr__(self, "distortion", Distortion(self.distortion))
        object.__setattr__(self, "mapping", Mapping(self.mapping))
        object.__setattr__(self, "mask_rule", MaskRule(self.mask_rule))
        object.__setattr__(self, "axes", _checked_axes(self.axes, self.distortion))
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
        if not 1 <= self.seeds <= MAX_SEEDS:
            raise ValueError(f"compress: seeds must be from 1 to {MAX_SEEDS}, got {self.seeds}")
        rate = self.learning_rate
        if rate is not None and not (rate > 0.0 and math.isfinite(rate)):
            raise ValueError(f"compress: learning_rate must be above 0, got {rate}")
        _ = self.budget  # refuses one that is out of range

    @property
    def is_given(self) -> bool:
        """Whether the network is the user's own."""
        return self.network not in PARENTS

    @property
    def training_seeds(self) -> tuple[int, ...]:
        """Seeds of the trainings that are compared; the first is that of the request."""
        return tuple((self.seed + step) % (MAX_SEED + 1) for step in range(self.seeds))

    @property
    def budget(self) -> DeviceBudget:
        """What one image may take."""
        return DeviceBudget(device=self.device, budget_ms=self.budget_ms, tighten=self.tighten)


def _checked_axes(axes: Sequence[str], distortion: Distortion) -> tuple[Axis, ...]:
    allowed = [axis.value for axis in Axis]
    if not axes or not set(axes) <= set(allowed):
        raise ValueError(f"compress: axes must be some of {allowed}, got {list(axes)}")
    found = tuple(dict.fromkeys(map(Axis, axes)))
    if len(found) > 1 and distortion is not Distortion.ENERGY:
        raise ValueError(
            f"compress: axes {[axis.value for axis in found]} are compared by distortion 'energy' "
            f"only, got {distortion.value!r}"
        )
    return found
