"""What a skeleton holds: networks of the space, one for each choice."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.space.stage_genotype import MIN_STAGES, StageGenotype
from search.space.stage_networks import build_stages
from search.space.stage_skeleton import DEPTHS, OPTIONS, StageChoice, StageSkeleton
from search.space.task import TaskShape


def skeleton_of(size: int) -> StageSkeleton:
    task = TaskShape(image_channels=3, image_size=size, classes=10)
    return StageSkeleton(width=8, task=task)


def drawn(skeleton: StageSkeleton, seed: int) -> StageChoice:
    rng = np.random.default_rng(seed)
    rows = {
        name: tuple(rng.integers(columns, size=count).tolist())
        for name, (count, columns) in skeleton.tables.items()
    }
    return StageChoice(**rows)


@pytest.mark.parametrize(
    ("size", "strides", "levels"),
    [(8, (1, 2, 1), (0, 1, 1)), (16, (1, 2, 2), (0, 1, 2)), (36, (1, 2, 2, 2), (0, 1, 2, 3))],
)
def test_there_is_a_stage_for_each_halving_and_at_least_three(
    size: int, strides: tuple[int, ...], levels: tuple[int, ...]
) -> None:
    skeleton = skeleton_of(size)
    assert tuple(plan.stride for plan in skeleton.stages) == strides
    assert tuple(plan.level for plan in skeleton.stages) == levels
    assert [plan.continues for plan in skeleton.stages] == [
        index > 0 and level == levels[index - 1] for index, level in enumerate(levels)
    ]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 100_000), size=st.sampled_from([8, 16, 28, 32, 36]))
def test_every_choice_is_a_network_of_the_space(seed: int, size: int) -> None:
    skeleton = skeleton_of(size)
    choice = drawn(skeleton, seed)
    genotype = skeleton.genotype(choice)
    assert len(genotype.stages) >= MIN_STAGES
    widths = [genotype.stem, *(stage.width for stage in genotype.stages)]
    assert widths == sorted(widths), "widths never fall"
    assert genotype.head in (0, 16 * 8)
    shapes = {node.name: node.spec for node in build_stages(genotype, skeleton.task).nodes}
    inputs = genotype.stem
    for index, (stage, plan) in enumerate(zip(genotype.stages, skeleton.stages, strict=True)):
        first = next(spec for name, spec in shapes.items() if name.startswith(f"stages.{index}."))
        assert (first.in_channels, first.height) == (inputs, plan.size)
        assert inputs in plan.in_widths
        inputs = stage.width
    again = StageGenotype.from_dict(genotype.to_dict())
    assert again == genotype


def test_choices_differ_in_what_they_say() -> None:
    skeleton = skeleton_of(8)
    found = {
        skeleton.stage(0, option, depth, width)
        for option in range(len(OPTIONS))
        for depth in range(len(DEPTHS))
        for width in range(2)
    }
    assert len(found) == len(OPTIONS) * len(DEPTHS) * 2
    assert len({option.label for option in OPTIONS}) == len(OPTIONS) == 6
