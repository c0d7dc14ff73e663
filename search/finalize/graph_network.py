"""GraphNetwork: any network of ours as a torch module, built from its graph node by node.

It is for networks that were given: their batch norms are folded into the weights, so every layer
has a bias. Layers are those of `search.layers.sparse`, at the paths that `parameters` of the nodes
say; a test holds module and graph together through ONNX Runtime.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latency.graph import INPUT, GraphNode, NetworkGraph
from latency.operator import Activation, OperatorKind, OperatorSpec
from search.layers.biased_conv import BiasedConv2d
from search.layers.sparse import SparseLinear
from search.space.graph_genotype import GraphGenotype, refuse_untrainable
from search.space.task import TaskShape

_LAYERS = "layers"
_ACTIVATE = {
    Activation.NONE: lambda x: x,
    Activation.RELU: F.relu,
    Activation.RELU6: F.relu6,
    Activation.SILU: F.silu,
    Activation.HARDSWISH: F.hardswish,
}


def graph_genotype(graph: NetworkGraph) -> GraphGenotype:
    """Return the genotype of a network, its layers named as GraphNetwork can call them.

    Raises:
        ValueError: an operator is none that GraphNetwork has; the message names all such nodes.
    """
    refuse_untrainable(graph)
    taken = set(dir(nn.ModuleDict())) | {"training"}
    nodes = []
    for node in graph.nodes:
        if node.spec.weight_shape is None:
            nodes.append(node)
            continue
        key = node.name.replace(".", "/")
        while key in taken:
            key += "_"
        taken.add(key)
        nodes.append(replace(node, parameters=f"{_LAYERS}.{key}"))
    return GraphGenotype(graph=replace(graph, nodes=tuple(nodes)))


class GraphNetwork(nn.Module):
    """The network of a GraphGenotype, with weights that are drawn until `take_weights`.

    Raises:
        ValueError: the network is not for this task.
    """

    def __init__(self, genotype: GraphGenotype, task: TaskShape) -> None:
        super().__init__()
        genotype.network(task)  # refuses another task
        self.genotype = genotype
        self.task = task
        self.layers = nn.ModuleDict(
            {
                _key(node): _make_layer(node.spec)
                for node in genotype.graph.nodes
                if node.spec.weight_shape
            }
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (batch, classes) for images (batch, channels, height, width)."""
        nodes = self.genotype.graph.nodes
        last_use = {name: index for index, node in enumerate(nodes) for name in node.inputs}
        values = {INPUT: images}
        for index, node in enumerate(nodes):
            inputs = [values[name] for name in node.inputs]
            values[node.name] = self._run(node, inputs)
            for name in node.inputs:
                if last_use[name] == index:
                    values.pop(name, None)
        return values[nodes[-1].name]

    @torch.no_grad()
    def take_weights(self, weights: Mapping[str, Mapping[str, npt.NDArray[np.float32]]]) -> None:
        """Set "weight" and "bias" of each node, by the node's name."""
        for node in self.genotype.graph.nodes:
            if node.spec.weight_shape:
                layer = self.layers[_key(node)]
                for part, value in weights[node.name].items():
                    getattr(layer, part).copy_(torch.from_numpy(np.array(value)))
                layer.reset_scores()  # type: ignore[operator]

    def _run(self, node: GraphNode, inputs: list[Tensor]) -> Tensor:
        spec, x = node.spec, inputs[0]
        if spec.kind is OperatorKind.LINEAR:
            return activated(spec, self.layers[_key(node)](x.flatten(1)))
        if spec.kind is OperatorKind.CONV:
            return activated(spec, self.layers[_key(node)](x))
        if spec.kind is OperatorKind.ADD:
            return sum(inputs[1:], x)
        if spec.kind is OperatorKind.CONCAT:
            return torch.cat(inputs, dim=1)
        if spec.kind is OperatorKind.RELU:
            return F.relu(x)
        if spec.kind is OperatorKind.GLOBAL_AVG_POOL:
            return F.adaptive_avg_pool2d(x, 1).flatten(1)
        if spec.kind is OperatorKind.MAX_POOL:
            return F.max_pool2d(x, spec.kernel, spec.stride, spec.padding, spec.dilation)
        return F.avg_pool2d(x, spec.kernel, spec.stride, spec.padding, count_include_pad=False)


def _key(node: GraphNode) -> str:
    return node.parameters.removeprefix(f"{_LAYERS}.")


def activated(spec: OperatorSpec, x: Tensor) -> Tensor:
    """Return the activation of an operator on what it has computed."""
    found: Tensor = _ACTIVATE[spec.activation](x)
    return found


def _make_layer(spec: OperatorSpec) -> nn.Module:
    if spec.kind is OperatorKind.LINEAR:
        return SparseLinear(spec.in_channels, spec.out_channels)
    return BiasedConv2d(
        spec.in_channels,
        spec.out_channels,
        spec.kernel_shape,
        pads=spec.pads,
        stride=spec.stride,
        dilation=spec.dilation,
        groups=spec.groups,
    )
