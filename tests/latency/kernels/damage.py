"""Random damage to a correct node: attributes, constants and inputs of every kind and size."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.latency.kernels.nodes import Node, Rng

HUGE = 2**62
# Around every limit that code may have; a node has one of them, so that what it still may ask for
# fits into memory.
NUMBERS = [-HUGE, -(2**31), -1, 0, 1, 65535, 65536, 65537, 2**31 - 1, 2**31, 2**32 + 1, HUGE]
FLOATS = [np.nan, np.inf, -np.inf, 3.4e38, 1e-45, -0.0]
DTYPES = ["float32", "int32", "int64", "float64", "uint8", "float16", "bool"]
# Of attributes; None: it is missing.
FORMS: list[Any] = [None, "text", 1.5, 1, [1.0, 1.0], ["a", "b"], *([1] * n for n in range(1, 6))]

Array = npt.NDArray[np.generic]


def damaged(node: Node, rng: Rng) -> Node:
    """Return the node with one to three things changed; it may still be correct."""
    for number in range(int(rng.choice([1, 1, 1, 2, 3]))):
        kinds: list[Callable[[Node, Rng], Node]] = [_input, _order]
        if node.attributes:
            # The first change only may put an extreme number where it can ask for memory.
            kinds += [_attribute if number == 0 else _attribute_form] * 2
        if node.constants:
            kinds += [_constant] * 3
        node = kinds[int(rng.integers(len(kinds)))](node, rng)
    return node


def _attribute(node: Node, rng: Rng) -> Node:
    name = str(rng.choice(list(node.attributes)))
    value = node.attributes[name]
    number = int(rng.choice(NUMBERS))
    if isinstance(value, list):
        changed: Any = list(value)
        changed[int(rng.integers(len(value)))] = number
    else:
        changed = number
    return replace(node, attributes=node.attributes | {name: changed})


def _attribute_form(node: Node, rng: Rng) -> Node:
    name = str(rng.choice(list(node.attributes)))
    form = FORMS[int(rng.integers(len(FORMS)))]
    attributes = dict(node.attributes)
    del attributes[name]
    return replace(node, attributes=attributes if form is None else attributes | {name: form})


def _constant(node: Node, rng: Rng) -> Node:
    name = str(rng.choice(list(node.constants)))
    if rng.random() < 0.1:
        return replace(node, constants_as_inputs=node.constants_as_inputs | {name})
    changed = _array(node.constants[name], rng)
    return replace(node, constants=node.constants | {name: changed})


def _input(node: Node, rng: Rng) -> Node:
    name = str(rng.choice(list(node.inputs)))
    return replace(node, inputs=node.inputs | {name: _array(node.inputs[name], rng)})


def _order(node: Node, rng: Rng) -> Node:
    """Swap, leave out or repeat an input of the node."""
    order = list(node.order)
    first, second = (int(i) for i in rng.integers(len(order), size=2))
    kind = int(rng.integers(3))
    if kind == 0:
        order[first], order[second] = order[second], order[first]
    elif kind == 1 and len(order) > 1:
        del order[first]
    else:
        order.append(order[first])
    return replace(node, order=tuple(order))


def _array(array: Array, rng: Rng) -> Array:
    changes = [_dtype, _rank, _size, _content, _content]
    return changes[int(rng.integers(len(changes)))](array, rng)


def _dtype(array: Array, rng: Rng) -> Array:
    with np.errstate(all="ignore"):
        return array.astype(str(rng.choice(DTYPES)))


def _rank(array: Array, rng: Rng) -> Array:
    shapes: list[tuple[int, ...]] = [(-1,), (1, *array.shape), (*array.shape, 1)]
    if array.size > 0 and rng.random() < 0.2:
        return np.asarray(array.flat[0])
    return array.reshape(shapes[int(rng.integers(len(shapes)))]) if array.size else array[None]


def _size(array: Array, rng: Rng) -> Array:
    if array.ndim == 0:
        return array
    axis, size = int(rng.integers(array.ndim)), int(rng.choice([0, 1, 2, 3, 5, 17]))
    shape = list(array.shape)
    shape[axis] = size
    return np.resize(array, shape) if array.size else np.zeros(shape, array.dtype)


def _content(array: Array, rng: Rng) -> Array:
    changed = array.copy()
    if changed.size == 0:
        return changed
    if changed.dtype.kind == "f":
        changed.flat[int(rng.integers(changed.size))] = rng.choice(FLOATS)
    elif rng.random() < 0.3:
        rng.shuffle(changed.reshape(-1))
    else:
        place = int(rng.choice([0, changed.size - 1, int(rng.integers(changed.size))]))
        old = int(changed.flat[place])
        limits = [old - 1, old + 1, old + 3, 2 * old + 2, -(2**31), -1, 0, 65536, 2**31 - 1]
        changed.flat[place] = np.asarray(int(rng.choice(limits))).astype(changed.dtype)
    return changed
