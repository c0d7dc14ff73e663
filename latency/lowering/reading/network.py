"""The network as it is being read: nodes, weights in double precision, what every tensor is."""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from latency.graph import INPUT, OUTPUT, GraphNode, NetworkGraph
from latency.lowering.operators import gives_flat_output
from latency.lowering.reading.model_node import Constants, ModelNode
from latency.operator import Activation, OperatorKind, OperatorSpec

Array = npt.NDArray[np.float64]
IMAGE = 4  # rank of (N, C, H, W)
FLAT = 2  # rank of (N, C)


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """What a tensor of the model is in the network."""

    node: str  # that gives it, or INPUT
    shape: tuple[int, int, int]  # (channels, height, width)
    rank: int  # in the model: IMAGE or FLAT; a flat tensor of more than one pixel is only read by
    # a linear layer
    flat: bool  # the network has it as (N, C)
    readers: int
    gate: Activation = Activation.NONE  # it is what `node` is multiplied by to be so activated


class ReadingNetwork:
    """Collects what is read; handlers of node types call it."""

    def __init__(
        self, shape: tuple[int, int, int], image: str, constants: Constants, readers: Counter[str]
    ) -> None:
        self.constants = constants
        self._shape = shape
        self._readers = readers
        self._nodes: dict[str, GraphNode] = {}
        self._weights: dict[str, tuple[Array, Array]] = {}
        self._tensors: dict[str, Tensor] = {
            image: Tensor(node=INPUT, shape=shape, rank=IMAGE, flat=False, readers=readers[image])
        }

    def is_constant(self, node: ModelNode, index: int) -> bool:
        """Return whether an input is a constant."""
        return node.has_input(index) and node.inputs[index] in self.constants

    def constant(self, node: ModelNode, index: int, what: str) -> Array:
        """Return a constant float input, in double precision.

        Raises:
            ValueError: it is computed, or is not float32.
        """
        if not self.is_constant(node, index):
            raise ValueError(f"{what} must be a constant")
        array = self.constants[node.inputs[index]]
        if array.dtype != np.float32:
            raise ValueError(f"{what} must be float32, got {array.dtype}")
        return array.astype(np.float64)

    def whole_numbers(self, node: ModelNode, index: int, what: str) -> list[int]:
        """Return a constant input of whole numbers, such as axes; ValueError if it is computed."""
        if (
            not self.is_constant(node, index)
            or self.constants[node.inputs[index]].dtype.kind != "i"
        ):
            raise ValueError(f"{what} must be constant whole numbers")
        return [int(value) for value in self.constants[node.inputs[index]].reshape(-1)]

    def tensor(self, node: ModelNode, index: int = 0) -> Tensor:
        """Return the tensor that an input is.

        Raises:
            ValueError: it is a constant, a gate that is no value, or more than one flat pixel.
        """
        tensor = self.tensor_or_gate(node, index)
        if tensor.gate is not Activation.NONE:
            raise ValueError("a Sigmoid or HardSigmoid may only be multiplied by its own input")
        if tensor.rank == FLAT and tensor.shape[1:] != (1, 1):
            raise ValueError(f"only Gemm or MatMul may read a flattened image of {tensor.shape}")
        return tensor

    def tensor_or_gate(self, node: ModelNode, index: int) -> Tensor:
        """Return the tensor that an input is, whatever it is; ValueError for a constant."""
        if not node.has_input(index) or node.inputs[index] not in self._tensors:
            raise ValueError(f"input {index} must be computed from the image")
        return self._tensors[node.inputs[index]]

    def image(self, node: ModelNode) -> Tensor:
        """Return the first input, which must have rank 4 in the model; else ValueError."""
        tensor = self.tensor(node)
        if tensor.rank != IMAGE:
            raise ValueError("its input must be (N, C, H, W)")
        return tensor

    def can_change(self, source: Tensor, readers: int = 1) -> bool:
        """Return whether a tensor comes from a linear operator, and is read that often only."""
        node = self._nodes.get(source.node)
        linear = node is not None and node.spec.activation is Activation.NONE
        return linear and source.node in self._weights and source.readers == readers

    def weights_of(self, source: Tensor) -> tuple[Array, Array]:
        """Return weight and bias of the operator that gives a tensor."""
        return self._weights[source.node]

    def set_weights(self, node: ModelNode, source: Tensor, weight: Array, bias: Array) -> None:
        """Change the weights behind `source`, which then is what `node` gives."""
        self._weights[source.node] = (weight, bias)
        self.alias(node, source)

    def set_activation(self, node: ModelNode, source: Tensor, activation: Activation) -> None:
        """Fuse an activation into the operator behind `source`, which then is what `node` gives."""
        old = self._nodes[source.node]
        self._nodes[source.node] = replace(old, spec=replace(old.spec, activation=activation))
        self.alias(node, replace(source, readers=1))

    def alias(self, node: ModelNode, source: Tensor, *, rank: int = 0) -> None:
        """Let the output of `node` be what `source` is, in another rank where one is given."""
        readers = max(self._readers[node.output], source.readers)
        self._tensors[node.output] = replace(source, readers=readers, rank=rank or source.rank)

    def gate(self, node: ModelNode, source: Tensor, activation: Activation) -> None:
        """Let the output of `node` be what `source` is multiplied by to be activated."""
        self._tensors[node.output] = replace(
            source, readers=self._readers[node.output], gate=activation
        )

    def add(
        self,
        node: ModelNode,
        spec: OperatorSpec,
        sources: list[Tensor],
        weights: tuple[Array, Array] | None = None,
        *,
        rank: int = 0,
    ) -> None:
        """Add an operator whose output is that of `node`."""
        sources = self._of_one_rank(sources)
        name = self._fresh(node.name)
        self._nodes[name] = GraphNode(
            name=name,
            spec=spec,
            inputs=tuple(source.node for source in sources),
            parameters=name if weights else "",
        )
        if weights:
            self._weights[name] = weights
        self._tensors[node.output] = Tensor(
            node=name,
            shape=spec.out_shape,
            rank=rank or sources[0].rank,
            flat=gives_flat_output(spec, flat_input=sources[0].flat),
            readers=self._readers[node.output],
        )

    def finish(
        self, output: str
    ) -> tuple[NetworkGraph, dict[str, dict[str, npt.NDArray[np.float32]]]]:
        """Return the graph and its weights, float32.

        Raises:
            ValueError: the output is not what a network of ours can give, or a weight is not
                finite.
        """
        tensor = self._tensors.get(output)
        if tensor is None or tensor.node == INPUT or tensor.gate is not Activation.NONE:
            raise ValueError(f"model: the output {output!r} must be given by an operator")
        if tensor.rank == FLAT and not tensor.flat:
            if tensor.shape[1:] != (1, 1):
                raise ValueError(f"model: the output {output!r} is a flattened image")
            self._flattened(tensor)
        if tensor.rank == IMAGE and tensor.flat:
            raise ValueError(f"model: the output {output!r} must be (N, C) behind a global pooling")
        graph = NetworkGraph(input_shape=self._shape, nodes=tuple(self._nodes.values()))
        return graph, {name: _float32(name, *parts) for name, parts in self._weights.items()}

    def _of_one_rank(self, sources: list[Tensor]) -> list[Tensor]:
        if len({source.rank for source in sources}) > 1:
            raise ValueError("its inputs must have the same rank")
        if len({source.flat for source in sources}) == 1:
            return sources
        return [source if source.flat else self._flattened(source) for source in sources]

    def _flattened(self, source: Tensor) -> Tensor:
        """Return a tensor of one pixel as (N, C): the mean of one value is that value."""
        channels = source.shape[0]
        pool = OperatorSpec(
            kind=OperatorKind.GLOBAL_AVG_POOL,
            in_channels=channels,
            out_channels=channels,
            height=1,
            width=1,
        )
        name = self._fresh(f"{source.node}/flat")
        self._nodes[name] = GraphNode(name=name, spec=pool, inputs=(source.node,))
        return replace(source, node=name, flat=True)

    def _fresh(self, wanted: str) -> str:
        """Return a name of no other node; without dots no name of `lowering` can collide."""
        name = base = wanted.replace(".", "/")
        count = 1
        while name in self._nodes or name in (INPUT, OUTPUT):
            count += 1
            name = f"{base}_{count}"
        return name


def _float32(name: str, weight: Array, bias: Array) -> dict[str, npt.NDArray[np.float32]]:
    with np.errstate(over="ignore"):
        parts = {"weight": weight.astype(np.float32), "bias": bias.astype(np.float32)}
    for part, array in parts.items():
        if not np.isfinite(array).all():
            raise ValueError(f"model: {part} of {name!r} has values that are not finite")
    return {part: np.ascontiguousarray(array) for part, array in parts.items()}
