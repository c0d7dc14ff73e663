"""Poolings of the library compute what a plain loop over the taps computes."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.lowering.fallbacks import fallback_function
from tests.latency.kernels.problems import NODE, assert_close, one_node_model, open_session
from tests.latency.kernels.window_problems import (
    WINDOW_POOLS,
    Array,
    WindowProblem,
    expected_windows,
    run_window,
    window_model,
    window_problems,
)

problems = window_problems(WINDOW_POOLS)


@settings(max_examples=300, deadline=None)
@given(problem=problems, threads=st.integers(1, 2))
def test_matches_reference(problem: WindowProblem, threads: int) -> None:
    image = problem.image()
    assert_close(run_window(problem, image, threads=threads), expected_windows(problem, image))


@pytest.mark.parametrize("op_type", WINDOW_POOLS)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [1, 2, 4, 7, 8, 14, 16, 28, 32, 56, 112])
def test_shapes_of_networks(size: int, stride: int, op_type: str) -> None:
    problem = WindowProblem(
        op_type=op_type,
        channels=37,
        size=(size, size),
        strides=(stride, stride),
        pads=(1,) * 4,
    )
    image = problem.image()
    single = run_window(problem, image)
    assert_close(single, expected_windows(problem, image))
    np.testing.assert_array_equal(run_window(problem, image, threads=3), single)


@settings(max_examples=100, deadline=None)
@given(problem=problems, seed=st.integers(0, 1000))
def test_infinite_values(problem: WindowProblem, seed: int) -> None:
    image = problem.image()
    rng = np.random.default_rng(seed)
    for value in (np.inf, -np.inf, -np.inf):
        image.flat[int(rng.integers(image.size))] = value
    assert_close(run_window(problem, image), expected_windows(problem, image))


def test_the_largest_of_nothing_but_minus_infinity() -> None:
    problem = WindowProblem(op_type="MaxPool", size=(9, 18), pads=(1,) * 4)
    image = np.full((1, 4, 9, 18), -np.inf, dtype=np.float32)
    assert (run_window(problem, image) == -np.inf).all()


@settings(max_examples=100, deadline=None)
@given(problem=problems, seed=st.integers(0, 1000))
def test_nan_in_a_window(problem: WindowProblem, seed: int) -> None:
    """As in ONNX Runtime the maximum of a window with a NaN depends on where it lies: it is the
    NaN or one of the window's other values. All other windows are exact, and a mean is a NaN.
    """
    image = problem.image()
    rng = np.random.default_rng(seed)
    image.flat[rng.integers(image.size, size=3)] = np.nan
    got, wanted = run_window(problem, image), expected_windows(problem, image)
    if problem.op_type == "AveragePool":
        assert_close(got, wanted)
        return
    touched = np.isnan(wanted)
    np.testing.assert_array_equal(got[~touched], wanted[~touched])
    values = np.append(image.ravel(), np.float32(-np.inf))  # a window may hold nothing else
    assert np.isin(got[touched & ~np.isnan(got)], values).all()


@pytest.mark.parametrize("op_type", WINDOW_POOLS)
@pytest.mark.parametrize("size", [2, 7, 14, 33])
def test_neighbouring_planes_never_leak(size: int, op_type: str) -> None:
    problem = WindowProblem(op_type=op_type, channels=5, size=(size, size), pads=(1,) * 4)
    image = problem.image()
    wanted = expected_windows(problem, image)
    image[:, ::2] = np.inf
    got = run_window(problem, image)
    assert np.isinf(got[:, ::2]).all()
    assert_close(got[:, 1::2], wanted[:, 1::2])


def run_global(image: Array, *, threads: int = 1, library: bool = True) -> Array:
    model = one_node_model(
        "GlobalAveragePool",
        {},
        {},
        {"x": ("n", "c", "h", "w")},
        [fallback_function("GlobalAveragePool")],
    )
    onnx.checker.check_model(onnx.load_model_from_string(model))
    session = open_session(model, threads=threads, library=library)
    return np.asarray(session.run(None, {"x": image})[0])


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(0, 3), st.integers(1, 9), st.integers(1, 40), st.integers(1, 40)),
    threads=st.integers(1, 2),
)
def test_global_average(shape: tuple[int, int, int, int], threads: int) -> None:
    image = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    wanted = image.mean(axis=(2, 3), keepdims=True, dtype=np.float64).astype(np.float32)
    assert_close(run_global(image, threads=threads), wanted)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_global_average_of_non_finite_values(value: float) -> None:
    image = np.ones((1, 3, 7, 7), dtype=np.float32)
    image[0, 1, 6, 6] = value
    np.testing.assert_array_equal(
        run_global(image).ravel(), np.array([1, value, 1], dtype=np.float32)
    )


def test_global_average_runs_both_ways() -> None:
    image = np.random.default_rng(0).standard_normal((2, 5, 7, 9), dtype=np.float32)
    assert_close(run_global(image, library=False), run_global(image))


FALLBACKS = [
    WindowProblem(),
    WindowProblem(pads=(1,) * 4, strides=(2, 2), size=(7, 7)),
    WindowProblem(kernel=(5, 3), pads=(4, 0, 1, 2), dilations=(2, 1), size=(12, 9), strides=(1, 2)),
    WindowProblem(kernel=(2, 2), strides=(2, 2), channels=1, batch=2),
]


@pytest.mark.parametrize("op_type", WINDOW_POOLS)
@pytest.mark.parametrize("problem", FALLBACKS, ids=str)
def test_one_file_runs_both_ways(problem: WindowProblem, op_type: str) -> None:
    problem = replace(problem, op_type=op_type)
    model = window_model(problem, fallback=True)
    onnx.checker.check_model(onnx.load_model_from_string(model))
    image = problem.image()
    for library in (True, False):
        output = open_session(model, library=library).run(None, {"x": image})[0]
        assert_close(np.asarray(output), expected_windows(problem, image))


MALFORMED: dict[str, tuple[str, dict[str, Any]]] = {
    "window missing": ("kernel_shape", {"kernel_shape": None}),
    "window of none": ("height must be from 1", {"kernel_shape": [0, 3]}),
    "window absurd": ("width must be from 1", {"kernel_shape": [3, 2**62]}),
    "window large": ("at most 65536 positions", {"kernel_shape": [257, 256]}),
    "window of rank 1": ("kernel_shape must have 2 values", {"kernel_shape": [3]}),
    "stride zero": ("strides must be", {"strides": [0, 1]}),
    "dilation zero": ("dilations must be", {"dilations": [1, 0]}),
    "padding negative": ("pads must be", {"pads": [-1, 0, 0, 0]}),
    "padding as wide as the window": ("pads must be smaller", {"pads": [0, 0, 0, 3]}),
}


@pytest.mark.parametrize("op_type", WINDOW_POOLS)
@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_nodes_are_refused_by_name(case: str, op_type: str) -> None:
    message, attributes = MALFORMED[case]
    merged = WindowProblem(op_type=op_type).attributes | attributes
    present = {name: value for name, value in merged.items() if value is not None}
    with pytest.raises(Exception, match=NODE) as refused:
        open_session(one_node_model(op_type, present, {}, {"x": (1, 4, 9, 9)}))
    assert message in str(refused.value)


@pytest.mark.parametrize("op_type", WINDOW_POOLS)
def test_a_window_of_padding_only_is_an_error_that_names_the_node(op_type: str) -> None:
    problem = WindowProblem(op_type=op_type, kernel=(2, 2), dilations=(3, 3), pads=(2,) * 4)
    session = open_session(window_model(problem, dynamic=True))
    with pytest.raises(Exception, match=f"'{NODE}': a window lies wholly in the padding"):
        session.run(None, {"x": np.zeros((1, 4, 1, 1), dtype=np.float32)})


@pytest.mark.parametrize("name", ["kPortable", "kAvx2"])
def test_narrower_instruction_sets(name: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "tests.latency.kernels.run_window_problems", name],
        capture_output=True,
        text=True,
        check=False,
    )
    if "names no instruction set of this machine" in answer.stderr:
        pytest.skip(f"this processor has no {name}")
    assert answer.stdout == "150 problems\n", answer.stderr
