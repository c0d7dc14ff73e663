"""Channels that have the same value at every pixel of every image, and which value that is."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from latency.lowering.weights import Weights
from latency.operator import Activation, OperatorKind, OperatorSpec

Constants = npt.NDArray[np.float64]  # one for each channel; NaN where it is not constant

_ACTIVATE: dict[Activation, Callable[[Constants], Constants]] = {
    Activation.NONE: lambda x: x,
    Activation.RELU: lambda x: np.maximum(x, 0.0),
    Activation.RELU6: lambda x: np.clip(x, 0.0, 6.0),
    # Of a large negative number the exponential is infinite, and the quotient is zero.
    Activation.SILU: lambda x: x / (1.0 + np.exp(np.minimum(-x, 700.0))),
    Activation.HARDSWISH: lambda x: x * np.clip(x + 3.0, 0.0, 6.0) / 6.0,
}


def is_constant(arrays: Weights, *, fold: bool) -> Constants:
    """Return what the filters without weights give, before the activation.

    Args:
        arrays: "weight" and "bias" of a convolution or linear layer.
        fold: any constant counts, not only zero.
    """
    bias = arrays["bias"].astype(np.float64)
    empty = ~arrays["weight"].reshape(len(bias), -1).any(axis=1)
    return np.where(empty & (fold | (bias == 0.0)), bias, np.nan)


def activated(spec: OperatorSpec, values: Constants) -> Constants:
    """Return constants behind the activation of the operator that makes them."""
    return _ACTIVATE[spec.activation](values)


def passed_on(spec: OperatorSpec, values: Constants, arrays: Weights, *, fold: bool) -> Constants:
    """Return the constants that an operator gives which treats channels one by one.

    Args:
        spec: of a depthwise convolution, a ReLU or a pool.
        values: what it reads.
        arrays: its weights, where it has any.
        fold: any constant counts, not only zero.
    """
    if spec.kind is OperatorKind.RELU:
        return np.maximum(values, 0.0)
    if spec.kind is not OperatorKind.CONV:
        return values
    bias = arrays["bias"].astype(np.float64)
    filters = arrays["weight"].reshape(len(bias), -1).astype(np.float64)
    # Padding is zero: at a border only a constant of zero looks the same as in the middle.
    same = (values == 0.0) | (~np.isnan(values) & (not any(spec.pads)))
    made = np.where(same, np.nan_to_num(values) * filters.sum(axis=1) + bias, np.nan)
    made = np.where(filters.any(axis=1), made, bias)
    return activated(spec, made if fold else np.where(made == 0.0, made, np.nan))
