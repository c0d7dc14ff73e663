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
from latency.library_form import without_duplicates
from latency.operator import Activation, OperatorKind, Regime

_SUM_INPUTS = 2  # a runtime merges sums of two only


def executed_nodes(graph: NetworkGraph) -> tuple[GraphNode, ...]:
    """Return the nodes that are executed, in order, with merged duplicates named once.

    In the regime of the library that is every node: `library_form` has merged what can be.
    """
    if graph.regime is Regime.LIBRARY:
        return graph.nodes
    nodes = without_duplicates(graph)
    readers = Counter(name for node in nodes for name in node.inputs)
    takes_sum: set[str] = set()  # tensors whose convolution can still take a sum
    takes_relu: set[str] = set()  # ... or a ReLU; at most one of each, the sum first
    executed: list[GraphNode] = []
    for node in nodes:
        is_sum = node.spec.kind is OperatorKind.ADD and len(node.inputs) == _SUM_INPUTS
        is_relu = node.spec.kind is OperatorKind.RELU
        summed = is_sum and not takes_sum.isdisjoint(node.inputs)
        if not summed and not (is_relu and node.inputs[0] in takes_relu):
            executed.append(node)
        if readers[node.name] == 1 and (summed or _is_plain_conv(node)):
            takes_relu.add(node.name)
            if not summed:
                takes_sum.add(node.name)
    return tuple(executed)


def _is_plain_conv(node: GraphNode) -> bool:
    spec = node.spec
    return spec.kind is OperatorKind.CONV and spec.activation is Activation.NONE
