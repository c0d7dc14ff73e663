"""Activation sparsity: runs of pixels that are not computed are constants of their channel."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from latency.lowering.op_types import ACTIVATION_SUFFIXES
from tests.latency.kernels.problems import (
    Array,
    Problem,
    assert_close,
    node_model,
    one_node_model,
    open_session,
    run,
)
from tests.latency.kernels.reference import expected

problems = st.builds(
    Problem,
    out_channels=st.integers(1, 11),
    in_channels=st.integers(1, 4),
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    kernel=st.sampled_from([(1, 1), (3, 3), (2, 5)]),
    strides=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    batch=st.integers(1, 2),
    rows=st.sampled_from([1, 4]),
    density=st.sampled_from([0.0, 0.3, 1.0]),
    relu_input=st.booleans(),
    activation=st.sampled_from(ACTIVATION_SUFFIXES),
    computed=st.sampled_from([0.0, 0.3, 0.8, 1.0]),
    seed=st.integers(0, 1000),
)


@settings(max_examples=150, deadline=None)
@given(problem=problems, threads=st.integers(1, 3))
def test_matches_reference(problem: Problem, threads: int) -> None:
    assume(min(problem.out_size) >= 1)
    feed = problem.feed()
    assert_close(run(problem, feed, threads=threads), expected(problem, feed))


TILED = [
    Problem(out_channels=9, in_channels=160, size=(57, 55), kernel=(3, 3), pads=(1,) * 4, density=0.01),
    Problem(out_channels=9, in_channels=90, size=(56, 56), kernel=(5, 5), pads=(2,) * 4, density=0.01, batch=2),
    Problem(out_channels=9, in_channels=160, size=(57, 48), kernel=(3, 3), pads=(1,) * 4, density=0.01),
    Problem(out_channels=6, in_channels=3, size=(9, 16), kernel=(3, 5), pads=(1, 2, 1, 2), batch=2),
    Problem(out_channels=6, in_channels=3, size=(9, 24), kernel=(3, 3), pads=(0, 0, 3, 2), dilations=(2, 1)),
    Problem(out_channels=6, in_channels=3, size=(9, 67), kernel=(3, 5), pads=(1, 1, 1, 1), strides=(1, 2)),
]  # fmt: skip


@pytest.mark.parametrize("computed", [0.0, 0.1, 0.7, 1.0])
@pytest.mark.parametrize("problem", TILED, ids=lambda problem: str(problem.size))
def test_tiles(problem: Problem, computed: float) -> None:
    problem = replace(problem, computed=computed)
    feed = problem.feed()
    single = run(problem, feed)
    assert_close(single, expected(problem, feed))
    np.testing.assert_array_equal(run(problem, feed, threads=3), single)


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("computed", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("activation", ACTIVATION_SUFFIXES)
def test_fallback_gives_the_same(rows: int, computed: float, activation: str) -> None:
    problem = Problem(
        size=(9, 7),
        kernel=(3, 3),
        pads=(1, 1, 1, 1),
        batch=2,
        rows=rows,
        computed=computed,
        activation=activation,
        relu_input=rows == 1,
    )
    feed = problem.feed()
    model = node_model(problem, fallback=True)
    for library in (True, False):
        output = open_session(model, library=library).run(None, feed)[0]
        assert_close(np.asarray(output), expected(problem, feed))


def session_error(positions: list[int], fill: Array) -> str:
    """Return the error of making a session and running it on an image of 40 pixels."""
    model = one_node_model(
        "SparseConvPositions",
        {"weight_shape": [4, 4, 1, 1], "strides": [1, 1], "dilations": [1, 1], "pads": [0] * 4},
        {
            "values": np.ones((1, 4), dtype=np.float32),
            "indices": np.array([2], dtype=np.int32),
            "bias": np.zeros(4, dtype=np.float32),
            "positions": np.array(positions, dtype=np.int32),
            "fill": fill,
        },
        {"x": (1, 4, 5, 8)},
    )
    with pytest.raises(Exception, match="'the-node'") as caught:
        open_session(model).run(None, {"x": np.zeros((1, 4, 5, 8), dtype=np.float32)})
    return str(caught.value)


@pytest.mark.parametrize("positions", [[1, 0], [1, 1], [-1, 2]])
def test_positions_must_ascend(positions: list[int]) -> None:
    assert "positions must ascend from 0" in session_error(positions, np.zeros(4, np.float32))


def test_positions_must_be_in_the_image() -> None:
    wanted = "positions must be below 3 for this image, got 3"
    assert wanted in session_error([0, 3], np.zeros(4, np.float32))


def test_fill_has_one_value_per_channel() -> None:
    wanted = "fill must have one value per output channel"
    assert wanted in session_error([0], np.zeros(5, np.float32))
