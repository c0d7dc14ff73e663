"""StageSkeleton: the networks of stages that alphas can stand for, as rows of options.

There is one stage for each level, which are the image as it is and every halving of it; where that
makes fewer than MIN_STAGES, more stages follow at the last level. A stage repeats one of the block
options up to the deepest of DEPTHS. Widths are those of `StageSpace`: two for each level, which all
stages of the level have, so they never fall.
"""

from dataclasses import dataclass
from functools import cached_property

from search.space.stage_genotype import KERNELS, MIN_STAGES, BlockKind, Stage, StageGenotype
from search.space.task import TaskShape

DEPTHS = (1, 2, 3)
EXPANSIONS = (2, 4)
HEAD_FACTOR = 16  # a head has so many times the channels of the stem
_MOST_HALVINGS = 3
_SMALLEST_SIZE = 4  # pixels; no stage makes the image smaller


def count_halvings(task: TaskShape) -> int:
    """Return how often the image of a task can be halved."""
    return sum(task.image_size >> level >= _SMALLEST_SIZE for level in range(1, _MOST_HALVINGS + 1))


def level_widths(stem: int, level: int) -> tuple[int, int]:
    """Return the widths of stages whose output is halved `level` times."""
    narrow = stem << level
    return narrow, 2 * narrow


@dataclass(frozen=True, kw_only=True)
class BlockOption:
    """What a stage can repeat."""

    kind: BlockKind
    kernel: int = 3
    expansion: int = 1

    @property
    def label(self) -> str:
        """A short name, such as `inverted-k5-e4`."""
        if self.kind is not BlockKind.INVERTED:
            return self.kind.value
        return f"{self.kind.value}-k{self.kernel}-e{self.expansion}"


OPTIONS = (
    BlockOption(kind=BlockKind.BASIC),
    BlockOption(kind=BlockKind.PLAIN),
    *(
        BlockOption(kind=BlockKind.INVERTED, kernel=kernel, expansion=expansion)
        for kernel in KERNELS[BlockKind.INVERTED]
        for expansion in EXPANSIONS
    ),
)


@dataclass(frozen=True, kw_only=True)
class StagePlan:
    """Where a stage is, and what it can be."""

    level: int  # halvings of its output; the row of its width
    size: int  # height and width of its input, pixels
    stride: int
    in_widths: tuple[int, ...]  # that its input can have
    widths: tuple[int, ...]  # that it can have
    continues: bool  # the level of the stage before: its width is that of its input


@dataclass(frozen=True, kw_only=True)
class StageChoice:
    """One option of every row of every table: positions, not sizes."""

    options: tuple[int, ...]  # one per stage, into OPTIONS
    depths: tuple[int, ...]  # one per stage, into DEPTHS
    widths: tuple[int, ...]  # one per level
    heads: tuple[int, ...]  # one, into `heads` of the skeleton


@dataclass(frozen=True, kw_only=True)
class StageSkeleton:
    """The networks of one stem width for one task."""

    width: int  # channels of the stem
    task: TaskShape

    @cached_property
    def stages(self) -> tuple[StagePlan, ...]:
        """The stages in order."""
        plans: list[StagePlan] = []
        size = self.task.image_size
        in_widths: tuple[int, ...] = (self.width,)
        for index in range(max(self.levels, MIN_STAGES)):
            level = min(index, self.levels - 1)
            stride = 2 if 0 < index == level else 1
            widths = level_widths(self.width, level)
            plans.append(
                StagePlan(
                    level=level,
                    size=size,
                    stride=stride,
                    in_widths=in_widths,
                    widths=widths,
                    continues=index > level,
                )
            )
            size, in_widths = -(-size // stride), widths
        return tuple(plans)

    @property
    def levels(self) -> int:
        """How many levels there are."""
        return 1 + count_halvings(self.task)

    @property
    def heads(self) -> tuple[int, int]:
        """Channels that the head can have; 0 is none."""
        return 0, HEAD_FACTOR * self.width

    @property
    def tables(self) -> dict[str, tuple[int, int]]:
        """(Rows, columns) of the tables of alphas, named as the fields of StageChoice."""
        count = len(self.stages)
        return {
            "options": (count, len(OPTIONS)),
            "depths": (count, len(DEPTHS)),
            "widths": (self.levels, len(level_widths(self.width, 0))),
            "heads": (1, len(self.heads)),
        }

    def stage(self, index: int, option: int, depth: int, width: int) -> Stage:
        """Return a stage by its position and those of its option, depth and width."""
        block, plan = OPTIONS[option], self.stages[index]
        return Stage(
            kind=block.kind,
            width=plan.widths[width],
            depth=DEPTHS[depth],
            stride=plan.stride,
            kernel=block.kernel,
            expansion=block.expansion,
        )

    def genotype(self, choice: StageChoice) -> StageGenotype:
        """Return the dense network of a choice."""
        stages = tuple(
            self.stage(index, choice.options[index], choice.depths[index], width)
            for index, width in enumerate(choice.widths[plan.level] for plan in self.stages)
        )
        return StageGenotype(stem=self.width, stages=stages, head=self.heads[choice.heads[0]])

    def choice(self, genotype: StageGenotype) -> StageChoice:
        """Return the choice whose network this is, whatever its sparsity.

        Raises:
            ValueError: it is no network of the skeleton.
        """
        choice = self._read(genotype)
        if choice is None or self.genotype(choice) != genotype.with_layers(()):
            raise ValueError(
                f"stages: no network of {len(self.stages)} stages on a stem of {self.width} that "
                f"the alphas can stand for: {genotype.to_json()}"
            )
        return choice

    def _read(self, genotype: StageGenotype) -> StageChoice | None:
        """Return the choice of all that it says itself; None where it says what is no option."""
        stages = genotype.stages
        if len(stages) != len(self.stages):
            return None
        try:
            return StageChoice(
                options=tuple(OPTIONS.index(_option(stage)) for stage in stages),
                depths=tuple(DEPTHS.index(stage.depth) for stage in stages),
                widths=tuple(
                    self.stages[level].widths.index(stages[level].width)
                    for level in range(self.levels)
                ),
                heads=(self.heads.index(genotype.head),),
            )
        except ValueError:
            return None


def _option(stage: Stage) -> BlockOption:
    return BlockOption(kind=stage.kind, kernel=stage.kernel, expansion=stage.expansion)
