"""NetworkGraph: a whole network as operators in topological order.

The same value is priced by the estimator, built with random weights by the profiler, and built
with trained weights by the exporter; so what is priced is what is exported.
"""

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from latency.operator import OperatorSpec, Regime

INPUT = "input"
OUTPUT = "logits"


@dataclass(frozen=True, kw_only=True)
class GraphNode:
    """One operator of a network and where its inputs come from."""

    name: str  # unique in the graph; also the name of its output tensor
    spec: OperatorSpec
    inputs: tuple[str, ...]  # names of earlier nodes, or INPUT
    parameters: str = ""  # where the exporter finds the weights; empty without weights

    def with_spec(self, spec: OperatorSpec) -> "GraphNode":
        """Return the node with another operator."""
        if spec is self.spec:
            return self
        return GraphNode(name=self.name, spec=spec, inputs=self.inputs, parameters=self.parameters)

    def with_inputs(self, inputs: tuple[str, ...]) -> "GraphNode":
        """Return the node with other inputs."""
        if inputs == self.inputs:
            return self
        return GraphNode(name=self.name, spec=self.spec, inputs=inputs, parameters=self.parameters)


@dataclass(frozen=True, kw_only=True)
class NetworkGraph:
    """A network for one image: nodes in an order in which they can run; the last is the output.

    Raises:
        ValueError: a name is used twice, an input is unknown, shapes do not fit, or regimes mix.
    """

    input_shape: tuple[int, int, int]  # (channels, height, width)
    nodes: tuple[GraphNode, ...]

    def __post_init__(self) -> None:
        if not self.nodes:
            raise ValueError("graph: a network needs at least one operator")
        if len({node.spec.regime for node in self.nodes}) > 1:
            raise ValueError("graph: a network is executed in one regime, not in a mix of them")
        shapes = {INPUT: tuple(self.input_shape)}
        for node in self.nodes:
            if node.name in shapes:
                raise ValueError(f"graph: the name {node.name!r} is used twice")
            _check_inputs(node, shapes)
            shapes[node.name] = node.spec.out_shape

    @property
    def operators(self) -> tuple[OperatorSpec, ...]:
        """The operators in order, repeated as often as they occur."""
        return tuple(node.spec for node in self.nodes)

    @property
    def regime(self) -> Regime:
        """Whose kernels execute this network."""
        return self.nodes[0].spec.regime

    @property
    def int8_names(self) -> tuple[str, ...]:
        """Names of the operators that are int8; a network with any is of the stock regime."""
        return tuple(node.name for node in self.nodes if node.spec.dtype == "int8")

    def with_int8(self, names: Collection[str]) -> "NetworkGraph":
        """Return the network with just the operators of these names in int8.

        Raises:
            ValueError: an operator cannot be int8.
        """
        nodes = (
            replace(node, spec=replace(node.spec, dtype=_dtype(node, names))) for node in self.nodes
        )
        return replace(self, nodes=tuple(nodes))

    @property
    def key(self) -> str:
        """SHA-256 of the canonical JSON, in hex."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "input_shape": list(self.input_shape),
            "nodes": [
                {
                    "name": node.name,
                    "spec": node.spec.to_dict(),
                    "inputs": list(node.inputs),
                    "parameters": node.parameters,
                }
                for node in self.nodes
            ],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "NetworkGraph":
        """Build from plain JSON values; ValueError names what is wrong."""
        try:
            channels, height, width = values["input_shape"]
            nodes = tuple(
                GraphNode(
                    name=node["name"],
                    spec=OperatorSpec.from_dict(node["spec"]),
                    inputs=tuple(node["inputs"]),
                    parameters=node.get("parameters", ""),
                )
                for node in values["nodes"]
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"graph: malformed: {error}") from error
        return cls(input_shape=(channels, height, width), nodes=nodes)


def _dtype(node: GraphNode, int8: Collection[str]) -> str:
    return "int8" if node.name in int8 else "float32"


def _check_inputs(node: GraphNode, shapes: dict[str, tuple[int, ...]]) -> None:
    spec = node.spec
    if len(node.inputs) != spec.num_tensors:
        raise ValueError(f"graph: {node.name!r} needs {spec.num_tensors} inputs")
    expected = [spec.in_shape] * spec.inputs + [spec.out_shape] * spec.residual
    for name, shape in zip(node.inputs, expected, strict=True):
        if name not in shapes:
            raise ValueError(f"graph: {node.name!r} reads {name!r}, which no earlier node makes")
        if shapes[name] != shape:
            raise ValueError(
                f"graph: {node.name!r} expects {shape} but {name!r} gives {shapes[name]}"
            )
