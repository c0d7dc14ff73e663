"""A network in the form in which the operator library executes it: fewer nodes that do more.

Stock runtimes merge operators when they load a model (`latency.estimate.execution`); for the
library this is done here, before anything is priced or built, so the nodes of the result are what
is executed:

- equal operators without weights on equal inputs become one;
- a sum of two tensors moves into a convolution that gives one of them and has no other reader;
- a ReLU moves into the convolution, or into such a sum, that only it reads;
- any other ReLU that only convolutions read is applied by each of them as it reads its input.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

from latency.graph import GraphNode, NetworkGraph
from latency.operator import (
    UNCUT,
    Activation,
    OperatorKind,
    OperatorSpec,
    Regime,
    SparsityPattern,
)

_SUM_INPUTS = 2
_CLAMPED = (Activation.RELU, Activation.RELU6)
_WEIGHTED = (OperatorKind.CONV, OperatorKind.LINEAR)
_remembered = lru_cache(maxsize=8192)  # networks of a space repeat their operators


def library_form(graph: NetworkGraph) -> NetworkGraph:
    """Return the network in the regime of the library; one that is in it comes back unchanged.

    Nodes with weights keep their names, so that their weights are found.
    """
    if graph.regime is Regime.LIBRARY:
        return graph
    nodes = [node.with_spec(_library_spec(node.spec)) for node in without_duplicates(graph)]
    nodes = _move_sums(nodes)
    nodes = _move_relus_back(nodes)
    nodes = _move_relus_ahead(nodes)
    return replace(graph, nodes=tuple(nodes))


@_remembered
def row_spec(spec: OperatorSpec) -> OperatorSpec:
    """Return the operator whose row prices this one.

    The library clamps the results of every convolution and linear layer, with infinite bounds
    where there is no activation, so ReLU and ReLU6 cost what no activation does. Zeros of a
    depthwise convolution are multiplied like other weights. With every weight kept, a pattern is
    none.
    """
    if spec.regime is Regime.STOCK:
        return spec
    if spec.activation in _CLAMPED:
        spec = replace(spec, activation=Activation.NONE)
    return spec.dense() if spec.density == 1.0 or spec.is_depthwise else spec


def stock_rival(spec: OperatorSpec) -> OperatorSpec:
    """Return the same operator dense by stock kernels, without what only the library fuses."""
    return replace(spec.dense(), regime=Regime.STOCK, relu_input=False, residual=False, cut=UNCUT)


@_remembered
def _library_spec(spec: OperatorSpec) -> OperatorSpec:
    """Return the operator of the library; filters that share channels are blocks for it too."""
    if spec.pattern is SparsityPattern.BALANCED_BLOCK:
        spec = replace(spec, pattern=SparsityPattern.BLOCK, block_filters=0)
    return replace(spec, regime=Regime.LIBRARY)


def without_duplicates(graph: NetworkGraph) -> list[GraphNode]:
    """Return the nodes without those that compute what an earlier one does, readers renamed."""
    # Keyed by what is read, because hashing a whole spec is ten times as slow.
    readers: dict[tuple[str, ...], list[GraphNode]] = {}
    same_as: dict[str, str] = {}
    kept: list[GraphNode] = []
    for node in graph.nodes:
        if same_as and not same_as.keys().isdisjoint(node.inputs):
            node = node.with_inputs(tuple(same_as.get(name, name) for name in node.inputs))
        if node.spec.kind not in _WEIGHTED:
            twins = readers.setdefault(node.inputs, [])
            twin = next((other for other in twins if other.spec == node.spec), None)
            if twin is not None:
                same_as[node.name] = twin.name
                continue
            twins.append(node)
        kept.append(node)
    return kept


def _move_sums(nodes: list[GraphNode]) -> list[GraphNode]:
    """Move sums into convolutions; the convolution then runs where the sum did."""
    readers = _count_readers(nodes)
    made = {node.name: node for node in nodes}
    moved: dict[str, GraphNode] = {}  # sum -> the convolution that takes it
    taken: set[str] = set()
    for node in nodes:
        if node.spec.kind is not OperatorKind.ADD or len(set(node.inputs)) != _SUM_INPUTS:
            continue
        for name in reversed(node.inputs):
            producer = made.get(name)
            if producer is None or readers[name] > 1 or not _can_add(producer.spec):
                continue
            (other,) = set(node.inputs) - {name}
            taking = producer.with_spec(_adding(producer.spec))
            moved[node.name] = taking.with_inputs((*producer.inputs, other))
            taken.add(name)
            break
    kept = [moved.get(node.name, node) for node in nodes if node.name not in taken]
    return _renamed(kept, {name: conv.name for name, conv in moved.items()})


def _move_relus_back(nodes: list[GraphNode]) -> list[GraphNode]:
    """Move each ReLU into the convolution before it where nothing else reads that convolution."""
    readers = _count_readers(nodes)
    made = {node.name: node for node in nodes}
    moved = {
        node.name: node.inputs[0]
        for node in nodes
        if node.spec.kind is OperatorKind.RELU
        and readers[node.inputs[0]] == 1
        and node.inputs[0] in made
        and _can_activate(made[node.inputs[0]].spec)
    }
    rectified = set(moved.values())
    kept = [
        node.with_spec(_rectified(node.spec)) if node.name in rectified else node
        for node in nodes
        if node.name not in moved
    ]
    return _renamed(kept, moved)


def _move_relus_ahead(nodes: list[GraphNode]) -> list[GraphNode]:
    """Move each ReLU into its readers where all of them are convolutions."""
    moved = {
        node.name: node.inputs[0]
        for node in nodes[:-1]
        if node.spec.kind is OperatorKind.RELU
        and all(_only_loads(reader, node.name) for reader in nodes if node.name in reader.inputs)
    }
    kept = [
        node.with_spec(_rectifying(node.spec))
        if node.inputs[0] in moved and node.spec.kind is OperatorKind.CONV
        else node
        for node in nodes
        if node.name not in moved
    ]
    return _renamed(kept, moved)


@_remembered
def _adding(spec: OperatorSpec) -> OperatorSpec:
    """Return the operator with a tensor added before its activation."""
    return replace(spec, residual=True)


@_remembered
def _rectified(spec: OperatorSpec) -> OperatorSpec:
    """Return the operator with a ReLU behind it."""
    return replace(spec, activation=Activation.RELU)


@_remembered
def _rectifying(spec: OperatorSpec) -> OperatorSpec:
    """Return the operator with a ReLU on its input."""
    return replace(spec, relu_input=True)


def _only_loads(reader: GraphNode, name: str) -> bool:
    """Return whether `reader` is a convolution that reads the tensor as its input only."""
    return (
        reader.spec.kind is OperatorKind.CONV
        and reader.inputs[0] == name
        and name not in reader.inputs[1:]
    )


def _can_add(spec: OperatorSpec) -> bool:
    return (
        _can_activate(spec)
        and spec.kind is OperatorKind.CONV
        and not spec.is_depthwise
        and not spec.residual
        and spec.pattern is not SparsityPattern.POSITIONS
    )


def _can_activate(spec: OperatorSpec) -> bool:
    return spec.kind in _WEIGHTED and spec.activation is Activation.NONE


def _count_readers(nodes: Iterable[GraphNode]) -> Counter[str]:
    return Counter(name for node in nodes for name in node.inputs)


def _renamed(nodes: list[GraphNode], names: dict[str, str]) -> list[GraphNode]:
    """Return the nodes with inputs renamed, as often as names lead on to other names."""

    def final(name: str) -> str:
        while name in names:
            name = names[name]
        return name

    return [node.with_inputs(tuple(final(name) for name in node.inputs)) for node in nodes]
