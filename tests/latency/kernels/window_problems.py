"""Depthwise convolutions and poolings to test with: their models, and what they must compute."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from latency.lowering.fallbacks import fallback_function, op_types
from tests.latency.kernels.nodes import output_size
from tests.latency.kernels.problems import one_node_model, open_session

Array = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
DEPTHWISE = tuple(op_type.name for op_type in op_types("DepthwiseConv"))
WINDOW_POOLS = ("MaxPool", "AveragePool")


@dataclass(frozen=True, kw_only=True)
class WindowProblem:
    """One node; pairs are (height, width), padding is (top, left, bottom, right)."""

    op_type: str = "DepthwiseConv"
    channels: int = 4
    size: tuple[int, int] = (8, 8)
    kernel: tuple[int, int] = (3, 3)
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    batch: int = 1
    seed: int = 0
    densities: tuple[float, ...] = ()  # of the weights of each channel, in turns; none: all of 1

    @property
    def out_size(self) -> tuple[int, int]:
        return output_size(self.size, self.kernel, self.strides, self.dilations, self.pads)

    @property
    def is_depthwise(self) -> bool:
        return self.op_type in DEPTHWISE

    @property
    def attributes(self) -> dict[str, Any]:
        window = {"strides": self.strides, "dilations": self.dilations, "pads": self.pads}
        if self.is_depthwise:
            return window | {"group": self.channels}
        return window | {"kernel_shape": self.kernel}

    def tensors(self) -> dict[str, Array]:
        if not self.is_depthwise:
            return {}
        rng = np.random.default_rng(self.seed)
        weight = rng.standard_normal((self.channels, 1, *self.kernel), dtype=np.float32)
        bias = rng.standard_normal(self.channels, dtype=np.float32)
        if self.densities:
            kept = np.resize(self.densities, self.channels)[:, None, None, None]
            weight *= rng.random(weight.shape) < kept
        return {"weight": weight, "bias": bias}

    def image(self) -> Array:
        rng = np.random.default_rng(self.seed + 1)
        shape = (self.batch, self.channels, *self.size)
        return rng.standard_normal(shape, dtype=np.float32)


def _windows(problem: WindowProblem, image: Array, padding: float) -> Doubles:
    """Return (taps, batch, channels, height, width): what every tap of the window sees."""
    top, left, bottom, right = problem.pads
    edges = ((0, 0), (0, 0), (top, bottom), (left, right))
    padded = np.pad(image.astype(np.float64), edges, constant_values=padding)
    height, width = problem.out_size
    taps = []
    for ky, kx in np.ndindex(problem.kernel):
        y, x = ky * problem.dilations[0], kx * problem.dilations[1]
        seen = padded[:, :, y :: problem.strides[0], x :: problem.strides[1]]
        taps.append(seen[:, :, :height, :width])
    return np.stack(taps)


def activated(name: str, values: Doubles) -> Doubles:
    """Return the values behind the activation that ends an operator's name."""
    if name == "Relu":
        return np.maximum(values, 0)
    if name == "Relu6":
        return np.minimum(np.maximum(values, 0), 6)
    if name == "Silu":
        return np.asarray(values / (1 + np.exp(-values)))
    if name == "HardSwish":
        return np.asarray(values * np.minimum(np.maximum(values + 3, 0), 6) / 6)
    return values


def expected_windows(problem: WindowProblem, image: Array) -> Array:
    """Return the output: plain, in double precision."""
    with np.errstate(invalid="ignore", over="ignore"):
        if problem.op_type == "MaxPool":
            return np.asarray(_windows(problem, image, -np.inf).max(axis=0), dtype=np.float32)
        if problem.op_type == "AveragePool":
            counts = _windows(problem, np.ones_like(image), 0).sum(axis=0)
            means = _windows(problem, image, 0).sum(axis=0) / counts
            return np.asarray(means, dtype=np.float32)
        prefix, activation = problem.op_type.split("DepthwiseConv")
        taps = _windows(problem, np.maximum(image, 0) if prefix else image, 0)
        tensors = problem.tensors()
        weight = tensors["weight"].reshape(problem.channels, -1).astype(np.float64)
        linear = tensors["bias"][:, None, None] + np.einsum("tnchw,ct->nchw", taps, weight)
        return activated(activation, linear).astype(np.float32)


def window_model(problem: WindowProblem, *, fallback: bool = False, dynamic: bool = False) -> bytes:
    """Return the model of one node, with or without the function that makes it run anywhere."""
    sizes = ("batch", "height", "width") if dynamic else (problem.batch, *problem.size)
    return one_node_model(
        problem.op_type,
        problem.attributes,
        dict(problem.tensors()),
        {"x": (sizes[0], problem.channels, *sizes[1:])},
        [fallback_function(problem.op_type)] if fallback else [],
    )


def run_window(problem: WindowProblem, image: Array, *, threads: int = 1) -> Array:
    """Return what the library computes."""
    session = open_session(window_model(problem), threads=threads)
    return np.asarray(session.run(None, {"x": image})[0])


def fits(problem: WindowProblem) -> bool:
    """Return whether there is an output, and no window of a pooling is all padding."""
    if min(problem.out_size) < 1:
        return False
    if problem.is_depthwise:
        return True
    reach = [problem.dilations[i % 2] * (problem.kernel[i % 2] - 1) + 1 for i in range(4)]
    if any(pad >= limit for pad, limit in zip(problem.pads, reach, strict=True)):
        return False
    inside = _windows(problem, np.ones((1, problem.channels, *problem.size), np.float32), 0)
    return bool(inside.sum(axis=0).min() > 0)


def window_problems(op_types: tuple[str, ...]) -> st.SearchStrategy[WindowProblem]:
    """Return problems of these operators, about half of them of the forms that are fast."""
    sizes = st.one_of(st.integers(1, 9), st.integers(1, 40))
    any_pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    same_pair = st.integers(1, 2).map(lambda value: (value, value))
    kernels = st.one_of(
        st.sampled_from([(3, 3), (5, 5)]), st.tuples(st.integers(1, 7), st.integers(1, 7))
    )
    pads = st.one_of(
        st.integers(0, 4).map(lambda pad: (pad,) * 4), st.tuples(*[st.integers(0, 5)] * 4)
    )
    return st.builds(
        WindowProblem,
        op_type=st.sampled_from(op_types),
        channels=st.one_of(st.integers(1, 9), st.integers(16, 40)),
        size=st.tuples(sizes, sizes),
        kernel=kernels,
        strides=st.one_of(same_pair, any_pair),
        dilations=st.one_of(same_pair, any_pair),
        pads=pads,
        batch=st.integers(1, 3),
        seed=st.integers(0, 1000),
        densities=st.one_of(
            st.just(()), st.lists(st.sampled_from([0, 0.1, 0.3, 0.6, 1]), max_size=5).map(tuple)
        ),
    ).filter(fits)
