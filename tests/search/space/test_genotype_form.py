"""Genotypes as plain JSON: whatever is wrong is refused by name, with what is allowed."""

import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.space.networks import read_genotype
from search.space.sampling import random_genotype
from search.space.stage_genotype import Stage, StageGenotype
from tests.latency.samples import small_network

CELLS = random_genotype(np.random.default_rng(0), 4, 3).to_dict()
STAGES = StageGenotype(
    stem=8,
    stages=(Stage(kind="plain", width=8, depth=1),) * 3,  # type: ignore[arg-type]
).to_dict()
GRAPH = {"graph": small_network().to_dict()}
CHOICE = {"layer": "stem", "pattern": "block", "density": 0.5}


def without(values: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in keys}


@pytest.mark.parametrize("values", [CELLS, STAGES, GRAPH])
def test_what_is_whole_is_read(values: dict[str, Any]) -> None:
    assert (
        read_genotype(values).to_dict() == read_genotype(read_genotype(values).to_dict()).to_dict()
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "must be an object with the key normal"),
        ("normal", "must be an object with the key normal"),
        ({"cells": 3}, "must be an object with the key normal"),
        (
            {"normal": CELLS["normal"]},
            "reduce, channels, cells missing; a genotype of cells has the keys normal, reduce, "
            "channels, cells, and may have normal_concat, reduce_concat, layers",
        ),
        (CELLS | {"normal": 3}, r"normal must be a list of \[operation, input\], got a number"),
        (CELLS | {"reduce": [["conv"]]}, r"reduce edge 0 must be \[operation, input\]"),
        (CELLS | {"reduce": [["conv", "0"]]}, r"reduce edge 0 must be \[operation, input\]"),
        (CELLS | {"normal": CELLS["normal"][:3]}, "normal needs 8 edges, got 3"),
        (CELLS | {"channels": "16"}, "channels must be a whole number, got a text"),
        (CELLS | {"cells": None}, "cells must be a whole number, got null"),
        (CELLS | {"normal_concat": 2}, "normal_concat must be a list of nodes, got a number"),
        (CELLS | {"layers": {}}, "layers must be a list of choices, got an object"),
        (CELLS | {"layers": [without(CHOICE, "density")]}, "density missing; choice 0 of layers"),
        (CELLS | {"layers": [CHOICE | {"x": 1}]}, "x unknown; choice 0 of layers has the keys"),
        (CELLS | {"layers": [CHOICE | {"pattern": "x"}]}, "pattern of choice 0 of layers must be"),
        (CELLS | {"layers": [CHOICE | {"density": "x"}]}, "density of choice 0 .* be a number"),
        (CELLS | {"layers": [CHOICE | {"layer": 1}]}, "layer of choice 0 of layers must be a name"),
        (without(STAGES, "stem"), "stem missing; a genotype of stages has the keys stem, stages"),
        (STAGES | {"stages": 3}, "stages must be a list of stages, got a number"),
        (
            STAGES | {"stages": [{"kind": "plain"}] * 3},
            "width, depth missing; stage 0 has the keys",
        ),
        (STAGES | {"stages": [STAGES["stages"][0] | {"x": 1}] * 3}, "x unknown; stage 0 has"),
        ({"graph": 3}, "its graph has the keys input_shape, nodes; got a number"),
        ({"graph": {"nodes": []}}, "input_shape missing; its graph has the keys"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"genotype: .*{message}"):
        read_genotype(values)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(
    base=st.sampled_from([CELLS, STAGES, GRAPH]),
    key=st.sampled_from(
        ["normal", "reduce", "channels", "cells", "layers", "stem", "stages", "graph"]
    ),
    value=JSON,
)
def test_any_json_is_read_or_refused_in_order(base: dict[str, Any], key: str, value: Any) -> None:
    with suppress(ValueError):  # anything else would be a traceback
        read_genotype(json.loads(json.dumps(base)) | {key: value})
