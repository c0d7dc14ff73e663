"""Which operators of a graph a runtime really executes: the rest is merged into others.

ONNX Runtime, like other runtimes, merges on load

- equal operators without weights on equal inputs, such as two max-pools of one tensor;
- a sum of two tensors into a convolution that gives one of them, has no activation and no other
  reader: the convolution then adds to what is there;
- a ReLU into a convolution, or into such a sum, that nothing else reads.

In chains of separable convolutions on x86-64 the merged sum cost less than could be measured, so
merged operators are priced at nothing; what they do cost is left to the calibration.
"""

from collections import Counter

from latency.graph import GraphNode, NetworkGraph
from latency.operator import Activation, OperatorKind, OperatorSpec


def executed_nodes(graph: NetworkGraph) -> tuple[GraphNode, ...]:
    """Return the nodes that are executed, in order, with merged duplicates named once."""
    nodes = _without_duplicates(graph)
    readers = Counter(name for node in nodes for name in node.inputs)
    extendable: set[str] = set()  # tensors whose convolution can still take a sum or a ReLU
    executed: list[GraphNode] = []
    for node in nodes:
        absorbed = _is_absorbed(node, extendable)
        if not absorbed:
            executed.append(node)
        if readers[node.name] == 1 and _can_extend(node, absorbed=absorbed):
            extendable.add(node.name)
    return tuple(executed)


def _is_absorbed(node: GraphNode, extendable: set[str]) -> bool:
    if node.spec.kind is OperatorKind.RELU:
        return node.inputs[0] in extendable
    if node.spec.kind is OperatorKind.ADD:
        return len(node.inputs) == 2 and any(name in extendable for name in node.inputs)
    return False


def _can_extend(node: GraphNode, *, absorbed: bool) -> bool:
    if node.spec.kind is OperatorKind.CONV:
        return node.spec.activation is Activation.NONE
    return absorbed and node.spec.kind is OperatorKind.ADD


def _without_duplicates(graph: NetworkGraph) -> list[GraphNode]:
    first: dict[tuple[OperatorSpec, tuple[str, ...]], str] = {}
    same_as: dict[str, str] = {}
    kept: list[GraphNode] = []
    for node in graph.nodes:
        inputs = tuple(same_as.get(name, name) for name in node.inputs)
        if node.spec.weight_shape is None:
            known = first.setdefault((node.spec, inputs), node.name)
            if known != node.name:
                same_as[node.name] = known
                continue
        kept.append(GraphNode(name=node.name, spec=node.spec, inputs=inputs))
    return kept
