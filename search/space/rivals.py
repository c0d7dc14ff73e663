"""The networks that sparse cells are compared with, as genotypes: for CIFAR, of any width.

Sizes are those of the networks that the authors of DASS pruned (doi 10.1145/3609385), known to us by
their weights and multiply-adds: MobileNet-v2 (Sandler et al., arXiv 1801.04381, table 2) with stride 1
in its stem and in the stage of 24 channels, and in projected blocks (`NetworkBuilder.inverted_residual`);
ResNet-18 (He et al., arXiv 1512.03385, table 1) with a 3x3 stem of stride 1 and without max pool.
ResNet-20 is the same paper's for CIFAR (section 4.2), its shortcuts projections where the shape changes.
"""

from collections.abc import Callable

from search.space.stage_genotype import BlockKind, Stage, StageGenotype

# (expansion, channels, blocks, stride of the first block) for 224 px, as in the paper's table.
INVERTED_RESIDUALS = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
    (6, 320, 1, 1),
)  # fmt: skip
MOBILE_STEM, MOBILE_HEAD = 32, 1280
RESIDUAL_STAGES = (64, 128, 256, 512)
BLOCKS_PER_STAGE = 2
SMALL_RESIDUAL_STAGES = (16, 32, 64)  # of ResNet-20, three blocks each

KEEPS_SIZE = 1  # the stage of MobileNet-v2 that takes stride 1 on CIFAR
_STEP = 8  # channels; widths are multiples of it, as in MobileNet-v2


def mobilenet_v2(width: float = 1.0) -> StageGenotype:
    """Return MobileNet-v2 in the authors' CIFAR form, every channel count times `width`."""
    stages = tuple(
        Stage(
            kind=BlockKind.PROJECTED,
            width=_scaled(channels, width),
            depth=blocks,
            stride=1 if index == KEEPS_SIZE else stride,
            expansion=expansion,
        )
        for index, (expansion, channels, blocks, stride) in enumerate(INVERTED_RESIDUALS)
    )
    return StageGenotype(
        stem=_scaled(MOBILE_STEM, width), stages=stages, head=_scaled(MOBILE_HEAD, width)
    )


def resnet18(width: float = 1.0) -> StageGenotype:
    """Return ResNet-18 in its CIFAR form, every channel count times `width`."""
    return _residual(RESIDUAL_STAGES, BLOCKS_PER_STAGE, width)


def resnet20(width: float = 1.0) -> StageGenotype:
    """Return ResNet-20, every channel count times `width`."""
    return _residual(SMALL_RESIDUAL_STAGES, 3, width)


def _residual(channels: tuple[int, ...], blocks: int, width: float) -> StageGenotype:
    stages = tuple(
        Stage(
            kind=BlockKind.BASIC,
            width=_scaled(count, width),
            depth=blocks,
            stride=2 if index else 1,
        )
        for index, count in enumerate(channels)
    )
    return StageGenotype(stem=_scaled(channels[0], width), stages=stages)


RIVALS: dict[str, Callable[[float], StageGenotype]] = {
    "mobilenet-v2": mobilenet_v2,
    "resnet-18": resnet18,
}
# Those that a compression can start from.
PARENTS: dict[str, Callable[[float], StageGenotype]] = {**RIVALS, "resnet-20": resnet20}


def _scaled(channels: int, width: float) -> int:
    return max(_STEP, _STEP * round(channels * width / _STEP))
