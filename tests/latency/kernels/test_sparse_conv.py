"""The library computes what a loop over the kept weights computes."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from latency.lowering.op_types import ACTIVATION_SUFFIXES
from tests.latency.kernels.problems import (
    NODE,
    Problem,
    assert_close,
    node_model,
    one_node_model,
    open_session,
    run,
)
from tests.latency.kernels.reference import expected

sizes = st.integers(1, 36)
pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
problems = st.builds(
    Problem,
    out_channels=st.integers(1, 11),
    in_channels=st.integers(1, 5),
    size=st.tuples(sizes, sizes),
    kernel=st.one_of(
        st.sampled_from([(1, 1), (3, 3), (5, 5)]), st.tuples(st.integers(1, 5), st.integers(1, 5))
    ),
    strides=pair,
    dilations=pair,
    pads=st.tuples(*[st.integers(0, 4)] * 4),
    batch=st.integers(1, 3),
    rows=st.sampled_from([1, 4]),
    density=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    group=st.sampled_from([1, 1, 2, 3]),
    relu_input=st.booleans(),
    residual=st.booleans(),
    activation=st.sampled_from(ACTIVATION_SUFFIXES),
    seed=st.integers(0, 1000),
)


def with_groups(problem: Problem) -> Problem:
    """Multiply the channels by the groups, so that groups are whole blocks."""
    if problem.group == 1:
        return problem
    return replace(
        problem,
        in_channels=problem.in_channels * problem.group,
        out_channels=problem.rows * problem.group * (1 + problem.seed % 2),
    )


@settings(max_examples=200, deadline=None)
@given(problem=problems, threads=st.integers(1, 3))
def test_matches_reference(problem: Problem, threads: int) -> None:
    problem = with_groups(problem)
    assume(min(problem.out_size) >= 1)
    feed = problem.feed()
    assert_close(run(problem, feed, threads=threads), expected(problem, feed))


LARGE = [
    Problem(out_channels=18, in_channels=9, size=(7, 7), activation="Relu"),
    Problem(out_channels=9, in_channels=9, size=(10, 10), kernel=(3, 3), pads=(1,) * 4, batch=2),
    Problem(out_channels=9, in_channels=9, size=(9, 13), kernel=(5, 5), pads=(2,) * 4),
    Problem(out_channels=9, in_channels=9, size=(5, 5)),
    Problem(out_channels=9, in_channels=9, size=(17, 1)),
    Problem(out_channels=70, in_channels=33, size=(14, 14), activation="Relu", density=0.1),
    Problem(out_channels=18, in_channels=12, size=(60, 61), density=0.2),
    Problem(out_channels=12, in_channels=160, size=(56, 56), kernel=(3, 3), pads=(1,) * 4, density=0.01),
    Problem(out_channels=9, in_channels=200, size=(40, 41), kernel=(3, 3), pads=(1,) * 4, density=0.01, batch=3),
    Problem(out_channels=10, in_channels=90, size=(65, 64), kernel=(5, 5), pads=(2,) * 4, strides=(2, 2), density=0.01),
    Problem(out_channels=6, in_channels=300, size=(33, 47), kernel=(3, 3), dilations=(2, 2), density=0.01, batch=2),
]  # fmt: skip


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("problem", LARGE, ids=lambda problem: str(problem.size))
def test_tiles_and_threads(problem: Problem, rows: int) -> None:
    problem = replace(problem, rows=rows)
    feed = problem.feed()
    single = run(problem, feed)
    assert_close(single, expected(problem, feed))
    np.testing.assert_array_equal(run(problem, feed, threads=3), single)


def test_window_as_large_as_the_image() -> None:
    problem = Problem(
        out_channels=4, in_channels=2, size=(200, 200), kernel=(199, 200), density=0.001, pads=(0, 3, 2, 0)
    )  # fmt: skip
    feed = problem.feed()
    assert_close(run(problem, feed), expected(problem, feed))


def test_absurd_window_is_refused_before_memory_is() -> None:
    attributes = {
        "weight_shape": [4, 1, 20000, 20000],
        "strides": [1, 1],
        "dilations": [1, 1],
        "pads": [10000] * 4,
        "group": 1,
    }
    tensors: dict[str, npt.NDArray[np.generic]] = {
        "values": np.ones((1, 4), dtype=np.float32),
        "indices": np.array([7], dtype=np.int32),
        "bias": np.zeros(4, dtype=np.float32),
    }
    session = open_session(one_node_model("SparseConv", attributes, tensors, {"x": (1, 1, 1, 1)}))
    with pytest.raises(Exception, match=f"'{NODE}': the image is too large"):
        session.run(None, {"x": np.ones((1, 1, 1, 1), dtype=np.float32)})


@pytest.mark.parametrize("rows", [1, 4])
def test_empty_rows(rows: int) -> None:
    problem = Problem(out_channels=32, in_channels=3, rows=rows, density=0.05, activation="Relu")
    weight, bias = problem.weights()
    empty = ~weight.any(axis=(1, 2, 3))
    assert empty.any()
    output = run(problem, problem.feed())
    for channel in np.flatnonzero(empty):
        assert (output[:, channel] == max(0.0, bias[channel])).all()


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("relu_input", [False, True])
@pytest.mark.parametrize("activation", ACTIVATION_SUFFIXES)
@pytest.mark.parametrize("kernel", [1, 3])
def test_non_finite_inputs_spread_as_far_as_kept_weights(
    *, rows: int, relu_input: bool, activation: str, kernel: int
) -> None:
    problem = Problem(
        size=(9, 9),
        kernel=(kernel, kernel),
        pads=(kernel // 2,) * 4,
        rows=rows,
        relu_input=relu_input,
        activation=activation,
    )
    feed = problem.feed()
    image = feed["x"]
    image[0, 0, 2, 3], image[0, 1, 4, 4], image[0, 2, 8, 8] = np.nan, np.inf, -np.inf
    wanted = expected(problem, feed)
    assert not np.isfinite(wanted).all()
    assert np.isfinite(wanted).any()
    assert_close(run(problem, feed), wanted)


@pytest.mark.parametrize("kernel", [1, 3])
def test_input_that_is_not_aligned_to_vectors(kernel: int) -> None:
    problem = Problem(size=(11, 13), kernel=(kernel, kernel), pads=(kernel // 2,) * 4)
    feed = problem.feed()
    image = feed["x"]
    for shift in (1, 3, 7):
        memory = np.empty(image.size + 8, dtype=np.float32)
        moved = memory[shift : shift + image.size].reshape(image.shape)
        moved[...] = image
        assert_close(run(problem, {"x": moved}), expected(problem, feed))


def test_no_images() -> None:
    problem = Problem(batch=0, kernel=(3, 3))
    assert run(problem, problem.feed()).shape == (0, 8, 6, 6)


def test_one_session_serves_many_sizes_from_many_threads() -> None:
    problem = Problem(kernel=(3, 3), pads=(1, 1, 1, 1), activation="Relu")
    session = open_session(node_model(problem, dynamic=True), threads=2)

    def check(number: int) -> None:
        other = replace(problem, size=(3 + number % 5, 20 + number % 3), batch=1 + number % 2)
        feed = other.feed()
        assert_close(np.asarray(session.run(None, feed)[0]), expected(other, feed))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(check, range(60)))


def test_an_image_smaller_than_the_window_is_an_error_that_names_the_node() -> None:
    session = open_session(node_model(Problem(kernel=(3, 3)), dynamic=True))
    with pytest.raises(Exception, match="'the-node': the window is larger"):
        session.run(None, {"x": np.zeros((1, 4, 2, 2), dtype=np.float32)})


@pytest.mark.parametrize("name", ["kPortable", "kAvx2"])
def test_narrower_instruction_sets(name: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "tests.latency.kernels.run_problems", name],
        capture_output=True,
        text=True,
        check=False,
    )
    if "names no instruction set of this machine" in answer.stderr:
        pytest.skip(f"this processor has no {name}")
    assert answer.stdout == "60 problems\n", answer.stderr


@pytest.mark.parametrize("size", [16, 32])
@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_padding_that_rows_share_is_within_the_prepared_image(size: int, dilation: int) -> None:
    # Rows of whole vectors share their padding; behind the last one it needs room of its own,
    # which only a sanitizer or the allocator's own checks see.
    pad = 2 * dilation
    problem = Problem(
        out_channels=4,
        in_channels=1,
        size=(size, size),
        kernel=(5, 5),
        dilations=(dilation, dilation),
        pads=(pad, pad, pad, pad),
        density=0.5,
    )
    feed = problem.feed()
    assert_close(run(problem, feed), expected(problem, feed))
