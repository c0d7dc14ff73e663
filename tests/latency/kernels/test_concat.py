"""A concatenation that is folded into the convolution behind it."""

from dataclasses import replace
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.lowering.fallbacks import fallback_function
from latency.lowering.library import compress
from latency.lowering.op_types import ACTIVATION_SUFFIXES
from tests.latency.kernels.problems import (
    Array,
    Problem,
    assert_close,
    one_node_model,
    open_session,
)
from tests.latency.kernels.reference import expected

problems = st.builds(
    Problem,
    out_channels=st.integers(1, 9),
    size=st.tuples(st.integers(3, 20), st.integers(3, 20)),
    kernel=st.sampled_from([(1, 1), (3, 3)]),
    strides=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    pads=st.tuples(*[st.integers(0, 1)] * 4),
    batch=st.integers(0, 3),
    rows=st.sampled_from([1, 4]),
    relu_input=st.booleans(),
    activation=st.sampled_from(ACTIVATION_SUFFIXES),
    seed=st.integers(0, 1000),
)


def model_and_feed(problem: Problem, channels: list[int]) -> tuple[bytes, dict[str, Array]]:
    """Return a model whose input is cut into tensors of `channels` channels, and its inputs."""
    weight, bias = problem.weights()
    values, indices = compress(weight, problem.rows)
    prefix = "Relu" if problem.relu_input else ""
    op_type = f"{prefix}SparseConvConcat{len(channels)}{problem.activation}"
    cuts = list(accumulate(channels))[:-1]
    parts = np.split(problem.feed()["x"], cuts, axis=1)
    feed = {f"x{index}": np.ascontiguousarray(part) for index, part in enumerate(parts)}
    model = one_node_model(
        op_type,
        {
            "weight_shape": weight.shape,
            "strides": problem.strides,
            "dilations": problem.dilations,
            "pads": problem.pads,
            "group": 1,
        },
        {"values": values, "indices": indices, "bias": bias},
        {name: ("n", "c" + name, "h", "w") for name in feed},
        [fallback_function(op_type)],
        joined=len(channels),
    )
    return model, feed


@settings(max_examples=80, deadline=None)
@given(
    problem=problems,
    channels=st.lists(st.integers(1, 4), min_size=2, max_size=8),
    threads=st.integers(1, 2),
)
def test_matches_reference(problem: Problem, channels: list[int], threads: int) -> None:
    problem = replace(problem, in_channels=sum(channels))
    model, feed = model_and_feed(problem, channels)
    output = open_session(model, threads=threads).run(None, feed)[0]
    assert_close(np.asarray(output), expected(problem, problem.feed()))


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("relu_input", [False, True])
def test_fallback_gives_the_same(kernel: int, *, relu_input: bool) -> None:
    problem = Problem(
        in_channels=7, kernel=(kernel, kernel), pads=(kernel // 2,) * 4, relu_input=relu_input
    )
    model, feed = model_and_feed(problem, [2, 4, 1])
    output = open_session(model, library=False).run(None, feed)[0]
    assert_close(np.asarray(output), expected(problem, problem.feed()))


def test_large_images_are_cut_into_tiles() -> None:
    problem = Problem(in_channels=100, out_channels=5, size=(60, 61), density=0.05)
    model, feed = model_and_feed(problem, [30, 70])
    output = open_session(model, threads=2).run(None, feed)[0]
    assert_close(np.asarray(output), expected(problem, problem.feed()))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(1, 2, 5, 5), (1, 2, 5, 4)], "inputs must differ in their channels only"),
        ([(1, 2, 5, 5), (2, 2, 5, 5)], "inputs must differ in their channels only"),
        ([(1, 2, 5, 5), (1, 3, 5, 5)], r"input must have shape \(batch, 4, height, width\)"),
    ],
)
def test_inputs_that_do_not_fit_are_an_error_that_names_the_node(
    shapes: list[tuple[int, ...]], message: str
) -> None:
    model, _ = model_and_feed(Problem(in_channels=4), [2, 2])
    feed = {f"x{index}": np.zeros(shape, np.float32) for index, shape in enumerate(shapes)}
    with pytest.raises(Exception, match=f"'the-node': {message}"):
        open_session(model).run(None, feed)
