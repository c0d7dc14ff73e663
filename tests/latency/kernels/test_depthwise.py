"""Depthwise convolutions of the library compute what a plain loop over the taps computes."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.lowering.window_fallbacks import WINDOW_OP_TYPES, window_fallback
from tests.latency.kernels.problems import NODE, assert_close, one_node_model, open_session
from tests.latency.kernels.window_problems import (
    DEPTHWISE,
    WindowProblem,
    activated,
    expected_windows,
    run_window,
    window_model,
    window_problems,
)

problems = window_problems(DEPTHWISE)


@settings(max_examples=300, deadline=None)
@given(problem=problems, threads=st.integers(1, 2))
def test_matches_reference(problem: WindowProblem, threads: int) -> None:
    image = problem.image()
    assert_close(run_window(problem, image, threads=threads), expected_windows(problem, image))


# (channels, size, kernel, stride, dilation) of MobileNet-v2 and of DARTS cells, padded to keep
# the size.
NETWORKS = [
    (32, 112, 3, 1, 1), (24, 112, 3, 2, 1), (36, 56, 3, 1, 1), (36, 56, 3, 2, 1),
    (48, 28, 3, 1, 1), (96, 14, 3, 1, 1), (144, 14, 3, 2, 1), (240, 7, 3, 1, 1),
    (16, 32, 3, 1, 1), (32, 16, 3, 2, 1), (64, 8, 3, 1, 1), (16, 32, 5, 1, 1),
    (32, 16, 5, 2, 1), (64, 8, 5, 1, 1), (16, 32, 3, 1, 2), (32, 16, 5, 1, 2),
    (16, 32, 3, 2, 2), (32, 16, 5, 2, 2), (64, 8, 5, 1, 2), (64, 4, 3, 1, 1),
    (64, 2, 3, 1, 1), (64, 1, 3, 1, 1), (64, 4, 5, 1, 1), (64, 2, 5, 1, 2),
]  # fmt: skip


@pytest.mark.parametrize("op_type", ["DepthwiseConvRelu6", "ReluDepthwiseConv"])
@pytest.mark.parametrize("shape", NETWORKS, ids=str)
def test_shapes_of_networks(shape: tuple[int, int, int, int, int], op_type: str) -> None:
    channels, size, kernel, stride, dilation = shape
    problem = WindowProblem(
        op_type=op_type,
        channels=channels,
        size=(size, size),
        kernel=(kernel, kernel),
        strides=(stride, stride),
        dilations=(dilation, dilation),
        pads=(kernel // 2 * dilation,) * 4,
    )
    image = problem.image()
    single = run_window(problem, image)
    assert_close(single, expected_windows(problem, image))
    np.testing.assert_array_equal(run_window(problem, image, threads=3), single)


DENSITIES = [(0.0,), (0.1,), (0.25,), (0.5,), (1.0,), (0.0, 0.05, 0.2, 0.45, 0.7, 1.0)]


@pytest.mark.parametrize("densities", DENSITIES, ids=str)
@pytest.mark.parametrize("shape", NETWORKS, ids=str)
def test_pruned_taps(shape: tuple[int, int, int, int, int], densities: tuple[float, ...]) -> None:
    channels, size, kernel, stride, dilation = shape
    problem = WindowProblem(
        op_type="ReluDepthwiseConvRelu",
        channels=channels,
        size=(size, size),
        kernel=(kernel, kernel),
        strides=(stride, stride),
        dilations=(dilation, dilation),
        pads=(kernel // 2 * dilation,) * 4,
        densities=densities,
    )
    image = problem.image()
    assert_close(run_window(problem, image, threads=2), expected_windows(problem, image))


@pytest.mark.parametrize("size", [4, 8, 16, 40])
@pytest.mark.parametrize("name", ["", "Relu6", "Silu", "HardSwish"])
def test_a_channel_without_taps_is_its_bias(name: str, size: int) -> None:
    problem = WindowProblem(
        op_type=f"DepthwiseConv{name}",
        channels=33,
        size=(size, size),
        kernel=(5, 5),
        pads=(2,) * 4,
        densities=(0.0,),
    )
    bias = problem.tensors()["bias"].astype(np.float64)[None, :, None, None]
    wanted = np.broadcast_to(activated(name, bias), (1, 33, size, size))
    assert_close(run_window(problem, problem.image()), wanted.astype(np.float32))


@pytest.mark.parametrize("size", [8, 16, 40])
def test_pruned_taps_do_not_see_what_is_not_finite(size: int) -> None:
    problem = WindowProblem(
        channels=16, size=(size, size), kernel=(5, 5), pads=(2,) * 4, densities=(0.1,)
    )
    image = problem.image()
    wanted = expected_windows(problem, image)
    image[:, :, 3, 3] = np.inf
    seen = np.zeros((16, size, size), dtype=bool)  # windows that have the pixel below a kept tap
    for channel, _, ky, kx in np.argwhere(problem.tensors()["weight"]):
        y, x = 3 + 2 - ky, 3 + 2 - kx
        seen[channel, y, x] = True
    got = run_window(problem, image)
    assert np.isinf(got[0][seen]).all()
    assert_close(got[0][~seen], wanted[0][~seen])


@settings(max_examples=100, deadline=None)
@given(
    problem=problems.map(lambda problem: replace(problem, densities=())),
    seed=st.integers(0, 1000),
)
def test_non_finite_values_spread_as_far_as_the_window(problem: WindowProblem, seed: int) -> None:
    image = problem.image()
    rng = np.random.default_rng(seed)
    for value in (np.nan, np.inf, -np.inf):
        image.flat[int(rng.integers(image.size))] = value
    assert_close(run_window(problem, image), expected_windows(problem, image))


@pytest.mark.parametrize("kernel", [3, 5, 4])
@pytest.mark.parametrize("size", [2, 7, 14, 33])
def test_neighbouring_planes_never_leak(size: int, kernel: int) -> None:
    problem = WindowProblem(
        channels=5, size=(size, size), kernel=(kernel, kernel), pads=(kernel // 2,) * 4
    )
    image = problem.image()
    wanted = expected_windows(problem, image)
    image[:, ::2] = np.nan
    got = run_window(problem, image)
    assert np.isnan(got[:, ::2]).all()
    assert_close(got[:, 1::2], wanted[:, 1::2])


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("name", ["Relu", "Relu6", "Silu", "HardSwish"])
def test_activations_are_accurate_everywhere(name: str, kernel: int) -> None:
    problem = WindowProblem(
        op_type=f"DepthwiseConv{name}",
        channels=1,
        size=(64, 63),
        kernel=(kernel, kernel),
        pads=(kernel // 2,) * 4,
    )
    weight = np.zeros((1, 1, kernel, kernel), dtype=np.float32)
    weight[0, 0, kernel // 2, kernel // 2] = 1
    model = one_node_model(
        problem.op_type,
        problem.attributes,
        {"weight": weight, "bias": np.zeros(1, dtype=np.float32)},
        {"x": (1, 1, 64, 63)},
    )
    image = np.linspace(-85, 120, 64 * 63, dtype=np.float32).reshape(1, 1, 64, 63)
    got = np.asarray(open_session(model).run(None, {"x": image})[0])
    wanted = activated(name, image.astype(np.float64))
    np.testing.assert_allclose(got, wanted, rtol=2e-6, atol=1e-6 if name == "HardSwish" else 0)


@pytest.mark.parametrize("name", ["Silu", "HardSwish"])
def test_curves_of_extreme_values(name: str) -> None:
    problem = WindowProblem(op_type=f"DepthwiseConv{name}", channels=1, size=(1, 6), kernel=(1, 1))
    model = one_node_model(
        problem.op_type,
        problem.attributes,
        {"weight": np.ones((1, 1, 1, 1), np.float32), "bias": np.zeros(1, np.float32)},
        {"x": (1, 1, 1, 6)},
    )
    image = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 0], np.float32).reshape(1, 1, 1, 6)
    got = np.asarray(open_session(model).run(None, {"x": image})[0]).ravel()
    np.testing.assert_allclose(got, [np.nan, np.inf, np.nan, 1e30, 0, 0], rtol=1e-6)


@pytest.mark.parametrize("kernel", [3, 4])
def test_input_that_is_not_aligned_to_vectors(kernel: int) -> None:
    problem = WindowProblem(size=(11, 13), kernel=(kernel, kernel), pads=(1,) * 4)
    image = problem.image()
    for shift in (1, 3, 7):
        memory = np.empty(image.size + 8, dtype=np.float32)
        moved = memory[shift : shift + image.size].reshape(image.shape)
        moved[...] = image
        assert_close(run_window(problem, moved), expected_windows(problem, image))


def test_no_images() -> None:
    problem = WindowProblem(batch=0)
    assert run_window(problem, problem.image()).shape == (0, 4, 6, 6)


def test_one_session_serves_many_sizes_from_many_threads() -> None:
    problem = WindowProblem(pads=(1, 1, 1, 1), op_type="ReluDepthwiseConvSilu")
    session = open_session(window_model(problem, dynamic=True), threads=2)

    def check(number: int) -> None:
        other = replace(problem, size=(1 + number % 9, 20 + number % 3), batch=1 + number % 2)
        image = other.image()
        got = np.asarray(session.run(None, {"x": image})[0])
        assert_close(got, expected_windows(other, image))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(check, range(60)))


def test_an_image_smaller_than_the_window_is_an_error_that_names_the_node() -> None:
    session = open_session(window_model(WindowProblem(), dynamic=True))
    with pytest.raises(Exception, match=f"'{NODE}': the window is larger"):
        session.run(None, {"x": np.zeros((1, 4, 2, 2), dtype=np.float32)})


FALLBACKS = [
    WindowProblem(),
    WindowProblem(kernel=(5, 3), pads=(4, 0, 1, 2), dilations=(2, 1), size=(12, 9), strides=(1, 2)),
    WindowProblem(kernel=(5, 5), pads=(4,) * 4, dilations=(2, 2), strides=(2, 2), size=(16, 16)),
    WindowProblem(channels=1, batch=2),
]


@pytest.mark.parametrize("op_type", DEPTHWISE)
@pytest.mark.parametrize("problem", FALLBACKS, ids=str)
def test_one_file_runs_both_ways(problem: WindowProblem, op_type: str) -> None:
    problem = replace(problem, op_type=op_type)
    model = window_model(problem, fallback=True)
    onnx.checker.check_model(onnx.load_model_from_string(model))
    image = problem.image() * 4
    for library in (True, False):
        output = open_session(model, library=library).run(None, {"x": image})[0]
        assert_close(np.asarray(output), expected_windows(problem, image))


def test_fallbacks_are_only_there_for_operators_of_the_library() -> None:
    assert len(DEPTHWISE) == 10
    assert len(WINDOW_OP_TYPES) == 13
    with pytest.raises(ValueError, match="no window operator 'SparseConv'"):
        window_fallback("SparseConv")


WEIGHT = np.ones((4, 1, 3, 3), np.float32)
BIAS = np.zeros(4, np.float32)
MALFORMED: dict[str, tuple[str, dict[str, Any], dict[str, npt.NDArray[np.generic]]]] = {
    "group of one": ("group must be the number of channels, 4, got 1", {"group": 1}, {}),
    "group negative": ("group must be", {"group": -4}, {}),
    "group missing": ("group", {"group": None}, {}),
    "group a list": ("group", {"group": [4]}, {}),
    "stride zero": ("strides must be from 1 to 65536, got 0", {"strides": [0, 1]}, {}),
    "stride absurd": ("strides must be", {"strides": [2**62, 1]}, {}),
    "one stride": ("strides must have 2 values", {"strides": [1]}, {}),
    "strides missing": ("strides", {"strides": None}, {}),
    "dilation negative": ("dilations must be", {"dilations": [1, -1]}, {}),
    "padding negative": ("pads must be", {"pads": [0, 0, -1, 0]}, {}),
    "two pads": ("pads must have 4 values", {"pads": [0, 0]}, {}),
    "weight of rank 3": ("weight must have shape", {}, {"weight": WEIGHT[0]}),
    "weight not depthwise": ("weight must have shape", {}, {"weight": WEIGHT.reshape(2, 2, 3, 3)}),
    "weight without taps": ("weight must have shape", {}, {"weight": WEIGHT[:, :, :0]}),
    "weight without channels": ("weight must have shape", {}, {"weight": WEIGHT[:0]}),
    "window too high": ("height must be", {}, {"weight": np.zeros((4, 1, 65537, 1), np.float32)}),
    "bias too short": ("bias must have one value", {}, {"bias": BIAS[:3]}),
    "bias scalar": ("bias must have one value", {}, {"bias": np.zeros((), np.float32)}),
    "weight double": ("", {}, {"weight": WEIGHT.astype(np.float64)}),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_nodes_are_refused_by_name(case: str) -> None:
    message, attributes, tensors = MALFORMED[case]
    merged = WindowProblem().attributes | attributes
    model = one_node_model(
        "DepthwiseConv",
        {name: value for name, value in merged.items() if value is not None},
        {"weight": WEIGHT, "bias": BIAS} | tensors,
        {"x": (1, 4, 9, 9)},
    )
    with pytest.raises(Exception, match=NODE) as refused:
        open_session(model)
    assert message in str(refused.value)


def test_input_of_other_channels_is_an_error_that_names_the_node() -> None:
    model = one_node_model(
        "DepthwiseConv",
        WindowProblem().attributes,
        {"weight": WEIGHT, "bias": BIAS},
        {"x": ("n", "c", "h", "w")},
    )
    with pytest.raises(Exception, match=rf"'{NODE}': input must have shape \(batch, 4"):
        open_session(model).run(None, {"x": np.zeros((1, 5, 9, 9), dtype=np.float32)})
