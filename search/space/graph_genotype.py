"""GraphGenotype: a network that was given and not searched, with the sparsity of its layers."""

import json
from dataclasses import dataclass, replace
from typing import Any

from latency.graph import GraphNode, NetworkGraph
from latency.operator import OperatorKind, OperatorSpec, Regime, SparsityPattern
from search.space.dass_cells import MERGED_KERNEL
from search.space.genotype import LayerChoice
from search.space.genotype_form import check_choices, check_form
from search.space.sparsity import LAYER_PATTERNS
from search.space.task import TaskShape


@dataclass(frozen=True, kw_only=True)
class GraphGenotype:
    """A network as its graph, dense, and what its layers are pruned to. Immutable, hashable.

    Layers have the names that `parameters` of the nodes say.

    Raises:
        ValueError: the graph is not dense and of the stock regime, or a layer is chosen twice, for
            an unknown pattern, or is not there.
    """

    graph: NetworkGraph
    layers: tuple[LayerChoice, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(sorted(self.layers)))
        if self.graph.regime is not Regime.STOCK:
            raise ValueError("genotype: a network that is given must be of the stock regime")
        for node in self.graph.nodes:
            if node.spec.pattern is not SparsityPattern.DENSE:
                raise ValueError(
                    f"genotype: {node.name!r} of a network that is given must be dense"
                )
        names = {node.parameters for node in self.graph.nodes if node.parameters}
        if len({choice.layer for choice in self.layers}) != len(self.layers):
            raise ValueError("genotype: a layer has more than one choice")
        for choice in self.layers:
            if choice.layer not in names:
                raise ValueError(f"genotype: the network has no layer {choice.layer}")
            if choice.pattern not in LAYER_PATTERNS:
                allowed = [pattern.value for pattern in LAYER_PATTERNS]
                raise ValueError(f"genotype: pattern of {choice.layer} must be one of {allowed}")

    def network(self, task: TaskShape) -> NetworkGraph:
        """Return the network, as sparse as the layers say.

        Raises:
            ValueError: it is not for this task.
        """
        classes = self.graph.nodes[-1].spec.out_channels
        if (self.graph.input_shape, classes) != (task.input_shape, task.classes):
            raise ValueError(
                f"network: it reads {self.graph.input_shape} and tells {classes} classes apart, but "
                f"the data set has images of {task.input_shape} and {task.classes} classes"
            )
        choices = {choice.layer: choice for choice in self.layers}
        return replace(self.graph, nodes=tuple(_chosen(node, choices) for node in self.graph.nodes))

    def with_layers(self, layers: tuple[LayerChoice, ...]) -> "GraphGenotype":
        """Return the same network with other sparsity."""
        return replace(self, layers=layers)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "graph": self.graph.to_dict(),
            "layers": [
                {"layer": c.layer, "pattern": c.pattern.value, "density": c.density}
                for c in self.layers
            ],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "GraphGenotype":
        """Build from plain JSON values; ValueError says what is wrong and what is allowed."""
        check_form(values, "a genotype of a network that is given", ("graph",), ("layers",))
        check_form(values["graph"], "its graph", ("input_shape", "nodes"))
        check_choices(values.get("layers", []))
        layers = tuple(LayerChoice(**choice) for choice in values.get("layers", []))
        return cls(graph=NetworkGraph.from_dict(values["graph"]), layers=layers)

    def to_json(self) -> str:
        """Return canonical JSON: sorted keys, no spaces."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))


def refuse_untrainable(graph: NetworkGraph) -> None:
    """Refuse operators that a network of a graph cannot have when it is trained.

    Raises:
        ValueError: there are some; the message names all their nodes.
    """
    wrong = {node.name: why for node in graph.nodes if (why := _refusal(node.spec))}
    if wrong:
        listed = "; ".join(f"node {name!r}: {why}" for name, why in wrong.items())
        raise ValueError(f"network: {listed}")


def _refusal(spec: OperatorSpec) -> str:
    """Return why an operator cannot be trained here; empty where it can."""
    if spec.kind is OperatorKind.CONV and spec.kernel == MERGED_KERNEL:
        # The table has a row of this kernel as a factorized reduce, three quarters of it zeros.
        return f"a kernel of {spec.kernel} cannot be priced when it is sparse; allowed are others"
    if spec.kind is OperatorKind.AVG_POOL and spec.dilation > 1:
        return "an average pool must have a dilation of 1"
    if spec.kind is OperatorKind.MAX_POOL and spec.padding > spec.kernel // 2:
        return "a max pool may be padded by half its kernel at most"
    return ""


def _chosen(node: GraphNode, choices: dict[str, LayerChoice]) -> GraphNode:
    choice = choices.get(node.parameters)
    if choice is None or choice.pattern is SparsityPattern.DENSE:
        return node
    return replace(node, spec=replace(node.spec, pattern=choice.pattern, density=choice.density))
