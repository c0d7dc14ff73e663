"""What the operators must compute: plain loops in double precision."""

import numpy as np
import numpy.typing as npt

from tests.latency.kernels.problems import RUN_PIXELS, Array, Problem

Wide = npt.NDArray[np.float64]


def relu(x: Wide) -> Wide:
    return np.maximum(x, 0.0)


def relu6(x: Wide) -> Wide:
    return np.minimum(relu(x), 6.0)


def silu(x: Wide) -> Wide:
    return x / (1.0 + np.exp(-x))


def hard_swish(x: Wide) -> Wide:
    return x * relu6(x + 3.0) / 6.0


def activate(x: Wide, suffix: str) -> Wide:
    """Return the activation that an operator's suffix names; NaN stays NaN in all of them."""
    known = {"": lambda y: y, "Relu": relu, "Relu6": relu6, "Silu": silu, "HardSwish": hard_swish}
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(known[suffix](x))


def expected(problem: Problem, feed: dict[str, Array]) -> Array:
    """Return the output, summed over the weights that are kept."""
    weight, bias = problem.weights()
    top, left, bottom, right = problem.pads
    image = feed["x"].astype(np.float64)
    padded = np.pad(
        relu(image) if problem.relu_input else image, ((0, 0), (0, 0), (top, bottom), (left, right))
    )
    height, width = problem.out_size
    shape = (len(image), problem.out_channels, height, width)
    output = np.broadcast_to(bias[:, None, None].astype(np.float64), shape).copy()
    group_outputs, group_inputs = problem.out_channels // problem.group, weight.shape[1]
    with np.errstate(invalid="ignore", over="ignore"):
        for out, channel, ky, kx in np.argwhere(weight):
            y, x = ky * problem.dilations[0], kx * problem.dilations[1]
            source = out // group_outputs * group_inputs + channel
            seen = padded[:, source, y :: problem.strides[0], x :: problem.strides[1]]
            output[:, out] += weight[out, channel, ky, kx] * seen[:, :height, :width]
        if problem.residual:
            output += feed["residual"]
    return _fill(problem, activate(output, problem.activation)).astype(np.float32)


def _fill(problem: Problem, output: Wide) -> Wide:
    """Replace the pixels that are not computed."""
    if problem.computed is None:
        return output
    runs, fill = problem.positions()
    height, width = problem.out_size
    computed = np.isin(np.arange(height * width) // RUN_PIXELS, runs).reshape(height, width)
    return np.where(computed, output, fill[:, None, None].astype(np.float64))
