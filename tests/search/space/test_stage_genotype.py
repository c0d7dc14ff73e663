"""Genotypes of stages are values: written, read back, and refused with a reason."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.operator import SparsityPattern
from search.space.genotype import LayerChoice
from search.space.stage_genotype import Stage, StageGenotype
from search.space.stage_space import StageSpace
from tests.search.space.tables import DIGITS

SPACE = StageSpace(width=8, task=DIGITS)


def some_stages(seed: int) -> StageGenotype:
    return SPACE.random_genotype(np.random.default_rng(seed))


@given(seed=st.integers(0, 10_000))
def test_round_trip(seed: int) -> None:
    choice = LayerChoice(layer="stages.1", pattern=SparsityPattern.BLOCK, density=0.12345)
    genotype = some_stages(seed).with_layers((choice,))
    again = StageGenotype.from_dict(json.loads(genotype.to_json()))
    assert again == genotype
    assert hash(again) == hash(genotype)


def _changed(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(values: dict[str, Any]) -> None:
        if path in values:
            values[path] = value
        else:
            values["stages"][0][path] = value

    return change


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("kind", "dense", "kind must be one of"),
        ("kernel", 7, "kernel of plain must be one of"),
        ("expansion", 4, "only inverted blocks expand"),
        ("width", 0, "width must be from 1 to 16384"),
        ("width", "16", "width must be from 1"),
        ("depth", 99, "depth must be from 1 to 16"),
        ("stride", 3, "stride must be from 1 to 2"),
        ("head", -1, "head must be from 0"),
        ("stages", [], "number of stages must be from 3 to 7"),
        ("layers", [{"layer": "stem"}], "malformed"),
        (
            "layers",
            [{"layer": "stem", "pattern": "channel", "density": 0.5}],
            "pattern of stem must be one of",
        ),
    ],
)
def test_what_is_wrong_is_named(path: str, value: Any, message: str) -> None:
    plain = Stage(kind="plain", width=8, depth=1)  # type: ignore[arg-type]
    values = StageGenotype(stem=8, stages=(plain,) * 3).to_dict()
    _changed(path, value)(values)
    with pytest.raises(ValueError, match=message):
        StageGenotype.from_dict(values)


def test_one_layer_has_one_choice() -> None:
    twice = [
        LayerChoice(layer="head", pattern=SparsityPattern.BLOCK, density=d) for d in (0.1, 0.2)
    ]
    with pytest.raises(ValueError, match="more than one choice"):
        some_stages(0).with_layers(tuple(twice))
