"""StageGenotype: the architecture value of networks of stages, with sparsity per stage or layer.

A network is a 3x3 stem, some stages that each repeat one kind of block, a 1x1 head, pooling and a
classifier. Only the first block of a stage changes width and image size.
"""

import json
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from search.space.genotype import LayerChoice
from search.space.genotype_form import check_choices, check_form, check_list
from search.space.sparsity import LAYER_PATTERNS

MIN_STAGES, MAX_STAGES = 3, 7
MAX_DEPTH = 16
MAX_WIDTH = 16_384
MAX_EXPANSION = 8


class BlockKind(StrEnum):
    """What a stage repeats."""

    BASIC = "basic"  # residual: two full 3x3 convolutions
    INVERTED = "inverted"  # residual: expand, depthwise, project
    PLAIN = "plain"  # one full 3x3 convolution
    PROJECTED = "projected"  # inverted, at stride 1 always with a sum; see NetworkBuilder


KERNELS = {
    BlockKind.BASIC: (3,),
    BlockKind.INVERTED: (3, 5),
    BlockKind.PLAIN: (3,),
    BlockKind.PROJECTED: (3,),
}
_STAGE_KEYS = (("kind", "width", "depth"), ("stride", "kernel", "expansion"))
_EXPANDING = (BlockKind.INVERTED, BlockKind.PROJECTED)


@dataclass(frozen=True, kw_only=True, order=True)
class Stage:
    """Blocks of one kind and width.

    Raises:
        ValueError: a field is out of range; the message names it.
    """

    kind: BlockKind
    width: int  # output channels of each block
    depth: int  # number of blocks
    stride: int = 1  # of the first block
    kernel: int = 3  # of the depthwise convolution of an inverted residual; 3 in other blocks
    expansion: int = 1  # of an inverted residual: its middle over its input channels

    def __post_init__(self) -> None:
        if self.kind not in KERNELS:
            allowed = [kind.value for kind in BlockKind]
            raise ValueError(f"stage: kind must be one of {allowed}, got {self.kind!r}")
        object.__setattr__(self, "kind", BlockKind(self.kind))
        _check_range("width", self.width, 1, MAX_WIDTH)
        _check_range("depth", self.depth, 1, MAX_DEPTH)
        _check_range("stride", self.stride, 1, 2)
        _check_range("expansion", self.expansion, 1, MAX_EXPANSION)
        if self.kernel not in KERNELS[self.kind]:
            raise ValueError(
                f"stage: kernel of {self.kind.value} must be one of {KERNELS[self.kind]}, "
                f"got {self.kernel!r}"
            )
        if self.expansion > 1 and self.kind not in _EXPANDING:
            raise ValueError(f"stage: only inverted blocks expand, got {self.kind.value}")


@dataclass(frozen=True, kw_only=True)
class StageGenotype:
    """One network of stages. Immutable, hashable.

    `layers` names layers such as `stages.1.0.conv2`, or whole stages such as `stages.1`: then all
    full convolutions of the stage that have no choice of their own.

    Raises:
        ValueError: a field is out of range, or a layer is chosen twice or for an unknown pattern.
    """

    stem: int  # channels
    stages: tuple[Stage, ...]
    head: int = 0  # channels of a 1x1 convolution before the pooling; 0: there is none
    layers: tuple[LayerChoice, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(self.stages))
        object.__setattr__(self, "layers", tuple(sorted(self.layers)))
        _check_range("stem", self.stem, 1, MAX_WIDTH)
        _check_range("head", self.head, 0, MAX_WIDTH)
        _check_range("number of stages", len(self.stages), MIN_STAGES, MAX_STAGES)
        if len({choice.layer for choice in self.layers}) != len(self.layers):
            raise ValueError("genotype: a layer has more than one choice")
        for choice in self.layers:
            if choice.pattern not in LAYER_PATTERNS:
                allowed = [pattern.value for pattern in LAYER_PATTERNS]
                raise ValueError(f"genotype: pattern of {choice.layer} must be one of {allowed}")

    def with_layers(self, layers: tuple[LayerChoice, ...]) -> "StageGenotype":
        """Return the same stages with other sparsity."""
        return replace(self, layers=layers)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "stem": self.stem,
            "stages": [asdict(stage) | {"kind": stage.kind.value} for stage in self.stages],
            "head": self.head,
            "layers": [
                {"layer": c.layer, "pattern": c.pattern.value, "density": c.density}
                for c in self.layers
            ],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "StageGenotype":
        """Build from plain JSON values; ValueError says what is wrong and what is allowed."""
        check_form(values, "a genotype of stages", ("stem", "stages"), ("head", "layers"))
        check_list(values["stages"], "stages", "stages")
        for index, stage in enumerate(values["stages"]):
            check_form(stage, f"stage {index}", *_STAGE_KEYS, closed=True)
        check_choices(values.get("layers", []))
        try:
            return cls(
                stem=values["stem"],
                stages=tuple(Stage(**stage) for stage in values["stages"]),
                head=values.get("head", 0),
                layers=tuple(LayerChoice(**choice) for choice in values.get("layers", [])),
            )
        except TypeError as error:
            raise ValueError(f"genotype: malformed: {error}") from error

    def to_json(self) -> str:
        """Return canonical JSON: sorted keys, no spaces."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))


def _check_range(name: str, value: int, lowest: int, highest: int) -> None:
    if type(value) is not int or not lowest <= value <= highest:
        raise ValueError(f"genotype: {name} must be from {lowest} to {highest}, got {value!r}")
