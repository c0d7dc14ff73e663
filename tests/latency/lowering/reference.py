"""What every operator computes, by loops over pixels: slow and plain, to compare with."""

import numpy as np
import numpy.typing as npt

from latency.operator import Activation, OperatorKind, OperatorSpec

Array = npt.NDArray[np.float64]


def run(spec: OperatorSpec, inputs: list[Array], weights: dict[str, Array]) -> Array:
    """Return the output of one operator; spatial tensors are (channels, height, width)."""
    output = _linear_part(spec, inputs, weights)
    return np.maximum(output, 0.0) if spec.activation is Activation.RELU else output


def _linear_part(spec: OperatorSpec, inputs: list[Array], weights: dict[str, Array]) -> Array:
    first = inputs[0]
    if spec.kind is OperatorKind.CONV:
        return _conv(spec, first, weights["weight"], weights["bias"])
    if spec.kind is OperatorKind.LINEAR:
        result: Array = weights["weight"] @ first.reshape(-1) + weights["bias"]
        return result
    if spec.kind in (OperatorKind.MAX_POOL, OperatorKind.AVG_POOL):
        return _pool(spec, first)
    return _without_weights(spec, inputs)


def _without_weights(spec: OperatorSpec, inputs: list[Array]) -> Array:
    match spec.kind:
        case OperatorKind.RELU:
            return np.maximum(inputs[0], 0.0)
        case OperatorKind.GLOBAL_AVG_POOL:
            return np.asarray(inputs[0].mean(axis=(1, 2)))
        case OperatorKind.ADD:
            return np.asarray(np.sum(inputs, axis=0))
        case _:
            return np.concatenate(inputs, axis=0)


def _windows(spec: OperatorSpec, image: Array, fill: float) -> list[tuple[int, int, Array]]:
    top, left, bottom, right = spec.pads
    padded = np.pad(image, [(0, 0), (top, bottom), (left, right)], constant_values=fill)
    high, wide = (spec.dilation * (size - 1) + 1 for size in spec.kernel_shape)
    return [
        (
            y,
            x,
            padded[
                :,
                y * spec.stride : y * spec.stride + high : spec.dilation,
                x * spec.stride : x * spec.stride + wide : spec.dilation,
            ],
        )
        for y in range(spec.out_height)
        for x in range(spec.out_width)
    ]


def _conv(spec: OperatorSpec, image: Array, weight: Array, bias: Array) -> Array:
    output = np.zeros(spec.out_shape)
    ins, outs = spec.in_channels // spec.groups, spec.out_channels // spec.groups
    for y, x, window in _windows(spec, image, 0.0):
        for channel in range(spec.out_channels):
            start = channel // outs * ins
            output[channel, y, x] = (window[start : start + ins] * weight[channel]).sum()
    return output + bias[:, None, None]


def _pool(spec: OperatorSpec, image: Array) -> Array:
    output = np.zeros(spec.out_shape)
    for y, x, window in _windows(spec, image, np.nan):
        pooled = np.nanmax if spec.kind is OperatorKind.MAX_POOL else np.nanmean
        output[:, y, x] = pooled(window, axis=(1, 2))
    return output
