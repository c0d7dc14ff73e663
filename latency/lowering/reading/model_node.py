"""One node of an ONNX model with its attributes, and the constants of the model."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

Constants = dict[str, npt.NDArray[Any]]  # by tensor name

_MOST_VALUES = 2**28  # of a sparse constant: its file says nothing about what it takes in memory
_STANDARD = ("", "ai.onnx")


@dataclass(frozen=True, kw_only=True)
class ModelNode:
    """A node as handlers see it."""

    name: str  # for people and for the network; the node's own, or that of its output
    op_type: str
    inputs: tuple[str, ...]  # tensor names; one that is left out is empty
    output: str  # the first; others may not be read
    attributes: dict[str, Any]

    @classmethod
    def of(cls, proto: onnx.NodeProto) -> "ModelNode":
        """Return the node of a model; text attributes as str."""
        values = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
        return cls(
            name=proto.name or proto.output[0],
            op_type=proto.op_type
            if proto.domain in _STANDARD
            else f"{proto.domain}::{proto.op_type}",
            inputs=tuple(proto.input),
            output=proto.output[0],
            attributes={k: v.decode() if isinstance(v, bytes) else v for k, v in values.items()},
        )

    def has_input(self, index: int) -> bool:
        """Return whether an optional input is there."""
        return index < len(self.inputs) and bool(self.inputs[index])

    def pair(self, name: str) -> tuple[int, int]:
        """Return an attribute of two whole numbers, such as strides; (1, 1) where it is left out.

        Raises:
            ValueError: it has another length.
        """
        values = [int(value) for value in self.attributes.get(name) or (1, 1)]
        if len(values) != 2:
            raise ValueError(f"{name} must be two numbers, got {values}")
        return (values[0], values[1])

    def same(self, name: str) -> int:
        """Return the number that a pair repeats.

        Raises:
            ValueError: the two differ, or are not positive.
        """
        first, second = self.pair(name)
        if first != second:
            raise ValueError(f"{name} must be the same in both directions, got {[first, second]}")
        if first < 1:
            raise ValueError(f"{name} must be at least 1, got {first}")
        return first


def stored_constants(graph: onnx.GraphProto) -> Constants:
    """Return the initialisers of a graph, sparse ones as dense arrays.

    Raises:
        ValueError: one cannot be read; the message names it.
    """
    constants: Constants = {}
    for tensor in graph.initializer:
        constants[tensor.name] = _array(tensor, tensor.name)
    for sparse in graph.sparse_initializer:
        constants[sparse.values.name] = _dense(sparse, sparse.values.name)
    return constants


def constant_of_node(node: ModelNode) -> npt.NDArray[Any]:
    """Return the value of a Constant node.

    Raises:
        ValueError: it holds no numbers.
    """
    (kind, value), *_ = node.attributes.items()
    if kind == "value":
        return _array(value, node.output)
    if kind == "sparse_value":
        return _dense(value, node.output)
    if kind in ("value_float", "value_floats"):
        return np.asarray(value, dtype=np.float32)
    if kind in ("value_int", "value_ints"):
        return np.asarray(value, dtype=np.int64)
    raise ValueError(f"a Constant must hold numbers, got {kind}")


def live_nodes(graph: onnx.GraphProto, outputs: Iterable[str]) -> list[onnx.NodeProto]:
    """Return the nodes that the outputs depend on, in order."""
    wanted = set(outputs)
    live: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if not wanted.isdisjoint(node.output):
            wanted.update(node.input)
            live.append(node)
    return live[::-1]


def _array(tensor: onnx.TensorProto, name: str) -> npt.NDArray[Any]:
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except (TypeError, ValueError, OSError, onnx.checker.ValidationError) as error:
        raise ValueError(f"model: the constant {name!r} cannot be read: {error}") from error


def _dense(sparse: onnx.SparseTensorProto, name: str) -> npt.NDArray[Any]:
    values = _array(sparse.values, name)
    indices = _array(sparse.indices, f"{name} (indices)")
    shape = tuple(sparse.dims)
    if any(size < 0 for size in shape) or math.prod(shape) > _MOST_VALUES:
        raise ValueError(f"model: the constant {name!r} must have at most {_MOST_VALUES} values")
    dense = np.zeros(shape, dtype=values.dtype)
    try:
        if indices.ndim == 1:
            dense.reshape(-1)[indices] = values
        else:
            dense[tuple(indices.T)] = values
    except (IndexError, ValueError) as error:
        raise ValueError(f"model: the indices of {name!r} do not fit {shape}: {error}") from error
    return dense
