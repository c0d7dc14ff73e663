"""Networks of stages: what their graphs hold, and that every stage can be priced alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.operator import Activation, Regime, SparsityPattern
from search.space.genotype import LayerChoice
from search.space.stage_networks import build_stages
from search.space.stage_space import StageSpace
from tests.search.space.stages import check_stages_stand_alone, mixed_stages
from tests.search.space.tables import DIGITS

SPACE = StageSpace(width=8, task=DIGITS)
MIXED = mixed_stages(8)


def test_blocks_are_what_they_are_called() -> None:
    nodes = {node.name: node.spec for node in build_stages(MIXED, DIGITS).nodes}
    assert [name for name in nodes if name.startswith("stages.0.0")] == [
        "stages.0.0.shortcut", "stages.0.0.conv1", "stages.0.0.conv2", "stages.0.0.sum",
        "stages.0.0.relu",
    ]  # fmt: skip
    assert "stages.0.1.shortcut" not in nodes
    assert nodes["stages.1.0.depthwise"].kernel == 5
    assert nodes["stages.1.0.depthwise"].groups == 64
    assert nodes["stages.1.0.expand"].activation is Activation.RELU6
    assert nodes["stages.2.0.conv"].out_shape == (32, 4, 4)
    assert nodes["logits"].in_channels == 64


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), regime=st.sampled_from(Regime))
def test_what_is_executed_is_decided_inside_of_each_stage(seed: int, regime: Regime) -> None:
    genotype = SPACE.random_genotype(np.random.default_rng(seed))
    check_stages_stand_alone(genotype, DIGITS, regime)


def test_a_layers_own_choice_is_stronger_than_that_of_its_stage() -> None:
    choices = (
        LayerChoice(layer="stages.1", pattern=SparsityPattern.BLOCK, density=0.2),
        LayerChoice(layer="stages.1.0.project", pattern=SparsityPattern.UNSTRUCTURED, density=0.5),
        LayerChoice(layer="logits", pattern=SparsityPattern.BLOCK, density=0.1),
    )
    graph = build_stages(MIXED.with_layers(choices), DIGITS)
    sparse = {n.name: (n.spec.pattern.value, n.spec.density) for n in graph.nodes}
    assert sparse["stages.1.0.expand"] == ("block", 0.2)
    assert sparse["stages.1.0.depthwise"] == ("dense", 1.0)
    assert sparse["stages.1.0.project"] == ("unstructured", 0.5)
    assert sparse["logits"] == ("block", 0.1)
    assert sparse["stages.0.0.conv1"] == ("dense", 1.0)


def test_a_layer_that_is_not_there_is_named() -> None:
    choice = LayerChoice(layer="stages.0.2.conv1", pattern=SparsityPattern.BLOCK, density=0.2)
    with pytest.raises(ValueError, match=r"no layer stages\.0\.2\.conv1"):
        build_stages(MIXED.with_layers((choice,)), DIGITS)
