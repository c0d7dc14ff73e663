"""The library computes what a loop over the kept weights computes."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.latency.kernels.problems import (
    Problem,
    assert_close,
    expected,
    node_model,
    open_session,
    run,
)

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
    relu=st.booleans(),
    seed=st.integers(0, 1000),
)


@settings(max_examples=200, deadline=None)
@given(problem=problems, threads=st.integers(1, 3))
def test_matches_reference(problem: Problem, threads: int) -> None:
    assume(min(problem.out_size) >= 1)
    image = problem.image()
    assert_close(run(problem, image, threads=threads), expected(problem, image))


LARGE = [
    Problem(out_channels=18, in_channels=9, size=(7, 7), relu=True),
    Problem(out_channels=9, in_channels=9, size=(10, 10), kernel=(3, 3), pads=(1,) * 4, batch=2),
    Problem(out_channels=9, in_channels=9, size=(9, 13), kernel=(5, 5), pads=(2,) * 4),
    Problem(out_channels=9, in_channels=9, size=(5, 5)),
    Problem(out_channels=9, in_channels=9, size=(17, 1)),
    Problem(out_channels=70, in_channels=33, size=(14, 14), relu=True, density=0.1),
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
    image = problem.image()
    single = run(problem, image)
    assert_close(single, expected(problem, image))
    np.testing.assert_array_equal(run(problem, image, threads=3), single)


@pytest.mark.parametrize("rows", [1, 4])
def test_empty_rows(rows: int) -> None:
    problem = Problem(out_channels=32, in_channels=3, rows=rows, density=0.05, relu=True)
    weight, bias = problem.weights()
    empty = ~weight.any(axis=(1, 2, 3))
    assert empty.any()
    output = run(problem, problem.image())
    for channel in np.flatnonzero(empty):
        assert (output[:, channel] == max(0.0, bias[channel])).all()


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("kernel", [1, 3])
def test_non_finite_inputs_spread_as_far_as_kept_weights(
    *, rows: int, relu: bool, kernel: int
) -> None:
    problem = Problem(
        size=(9, 9), kernel=(kernel, kernel), pads=(kernel // 2,) * 4, rows=rows, relu=relu
    )
    image = problem.image()
    image[0, 0, 2, 3], image[0, 1, 4, 4], image[0, 2, 8, 8] = np.nan, np.inf, -np.inf
    wanted = expected(problem, image)
    assert not np.isfinite(wanted).all()
    assert np.isfinite(wanted).any()
    assert_close(run(problem, image), wanted)


@pytest.mark.parametrize("kernel", [1, 3])
def test_input_that_is_not_aligned_to_vectors(kernel: int) -> None:
    problem = Problem(size=(11, 13), kernel=(kernel, kernel), pads=(kernel // 2,) * 4)
    image = problem.image()
    for shift in (1, 3, 7):
        memory = np.empty(image.size + 8, dtype=np.float32)
        moved = memory[shift : shift + image.size].reshape(image.shape)
        moved[...] = image
        assert_close(run(problem, moved), expected(problem, image))


def test_no_images() -> None:
    problem = Problem(batch=0, kernel=(3, 3))
    assert run(problem, problem.image()).shape == (0, 8, 6, 6)


def test_one_session_serves_many_sizes_from_many_threads() -> None:
    problem = Problem(kernel=(3, 3), pads=(1, 1, 1, 1), relu=True)
    session = open_session(node_model(problem, dynamic=True), threads=2)

    def check(number: int) -> None:
        other = replace(problem, size=(3 + number % 5, 20 + number % 3), batch=1 + number % 2)
        image = other.image()
        assert_close(np.asarray(session.run(None, {"x": image})[0]), expected(other, image))

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
