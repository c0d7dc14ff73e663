"""Which operators of a graph a runtime really executes: some are merged into others, some are added.

ONNX Runtime, like other runtimes, merges on load

- equal operators without weights on equal inputs, such as two max-pools of one tensor;
- a sum of two tensors into a convolution that gives one of them, has no activation and no other
  reader: the convolution then adds to what is there;
- a ReLU into a convolution, or into such a sum, that nothing else reads.

In chains of separable convolutions on x86-64 the merged sum cost less than could be measured, so
merged operators are priced at nothing; what they do cost is left to the calibration.

Where operators of float32 and of int8 meet, a tensor is converted: to int8 once for all that read
it, to float32 for each reader. Sums are merged in float32 only, and only where both tensors
are in the layout of its convolutions, which conversions and what follows them are not; in int8 a ReLU is the lower end of the range of what is before it. Nothing can stay
float32 between int8 operators alone: ONNX Runtime 1.32 makes that int8 too, its weights as well.
`with_possible_int8` says what can be had. Not told apart is that a ReLU of float32 that int8 alone
reads costs nothing, and that a max pool there is int8: they are taken for what they are called.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace

from latency.graph import INPUT, GraphNode, NetworkGraph
from latency.library_form import without_duplicates
from latency.operator import (
    Activation,
    OperatorKind,
    OperatorSpec,
    Regime,
    SparsityPattern,
)

_SUM_INPUTS = 2  # a runtime merges sums of two only
_WEIGHTED = (OperatorKind.CONV, OperatorKind.LINEAR)
_OWN_LAYOUT = (OperatorKind.CONV, OperatorKind.MAX_POOL, OperatorKind.AVG_POOL)
_INT8_WEIGHTLESS = (OperatorKind.RELU, OperatorKind.MAX_POOL, OperatorKind.GLOBAL_AVG_POOL)
# What the quantizer of ONNX Runtime makes part of an integer convolution.
_INT8_ACTIVATIONS = (Activation.NONE, Activation.RELU, Activation.RELU6)

# What there is of a tensor, as bits: in which dtypes it is held, which one it was made in, and what
# the operator that made it can still take. Plain numbers, because searches walk graphs by the thousand.
Held = int
_FLOAT32, _INT8, _MADE_INT8, _TAKES_SUM, _TAKES_RELU = 1, 2, 4, 8, 16
_BETWEEN = 32  # made in float32 of nothing but int8
_PLAIN_LAYOUT = 64  # made of int8 with no kernel in between that has a layout of its own
IMAGE: Held = _FLOAT32
_CONVERSIONS = {_INT8: OperatorKind.QUANTIZE, _FLOAT32: OperatorKind.DEQUANTIZE}


def executed_nodes(graph: NetworkGraph) -> tuple[GraphNode, ...]:
    """Return the nodes that are executed, in order, with merged duplicates named once.

    Conversions are nodes too, named `TENSOR.quantize` and `TENSOR.dequantize`. In the regime of
    the library that is every node: `library_form` has merged what can be.
    """
    if graph.regime is Regime.LIBRARY:
        return graph.nodes
    nodes = without_duplicates(graph)
    readers = Counter(name for node in nodes for name in node.inputs)
    held = {INPUT: IMAGE}
    executed: list[GraphNode] = []
    for node in nodes:
        executed += execute(node, held, readers[node.name])
    return tuple(executed)


def execute(node: GraphNode, held: dict[str, Held], readers: int) -> list[GraphNode]:
    """Return what is executed for one node of a stock graph, and bring `held` up to date.

    Args:
        node: the next one, without duplicates before it.
        held: what there is of each earlier tensor and of the image (`IMAGE`), by name.
        readers: how many inputs of other nodes its output is.
    """
    spec = node.spec
    dtype = _FLOAT32 if spec.dtype == "float32" else _INT8
    executed = _conversions(node, held, dtype)
    is_sum = spec.kind is OperatorKind.ADD and len(node.inputs) == _SUM_INPUTS
    is_relu = spec.kind is OperatorKind.RELU
    summed = is_sum and dtype == _FLOAT32 and _takes_sum(node, held)
    if not summed and not (is_relu and _takes_relu(held[node.inputs[0]], dtype)):
        executed.append(node)
    made = _INT8 | _MADE_INT8 if dtype == _INT8 else _FLOAT32 | _of_int8(node, held)
    if readers == 1:
        made |= _still_taken(spec, dtype, summed=summed, is_sum=is_sum)
    held[node.name] = made
    if readers == 0 and dtype == _INT8:  # what a network gives is float32
        executed.append(_converted(node.name, OperatorKind.DEQUANTIZE, spec.out_shape))
    return executed


def possible_dtypes(node: GraphNode, held: Mapping[str, Held]) -> tuple[str, ...]:
    """Return in which dtypes an operator that int8 kernels exist for can be where it stands.

    A ReLU is int8 as the range of what was made in int8 right before it. A max pool has the dtype
    of what it reads. Nothing is int8 that reads what was made in float32 of int8 alone.
    """
    sources = [held[name] for name in node.inputs]
    if node.spec.kind is OperatorKind.MAX_POOL:
        return ("int8",) if sources[0] & _MADE_INT8 else ("float32",)
    is_relu = node.spec.kind is OperatorKind.RELU
    refused = is_relu and not _takes_relu(sources[0], _INT8)
    refused |= any(source & _BETWEEN for source in sources)
    return ("float32",) if refused else ("float32", "int8")


def may_be_int8(spec: OperatorSpec) -> bool:
    """Return whether there are int8 kernels for an operator, with nothing of it left in float32."""
    if spec.pattern is not SparsityPattern.DENSE or spec.regime is not Regime.STOCK:
        return False
    if spec.kind in _WEIGHTED:
        return spec.activation in _INT8_ACTIVATIONS
    is_sum = spec.kind is OperatorKind.ADD and spec.inputs == _SUM_INPUTS
    return is_sum or spec.kind in _INT8_WEIGHTLESS


def with_possible_int8(graph: NetworkGraph, names: Collection[str]) -> NetworkGraph:
    """Return a stock network with those of the named operators in int8 that can be, and no others.

    But for max pools, which follow what they read.
    """
    readers = Counter(name for node in graph.nodes for name in node.inputs)
    held, chosen = {INPUT: IMAGE}, []
    for node in graph.nodes:
        allowed = possible_dtypes(node, held) if may_be_int8(node.spec) else ("float32",)
        wanted = "int8" if node.name in names else "float32"
        dtype = wanted if wanted in allowed else allowed[0]
        if dtype == "int8":
            chosen.append(node.name)
        execute(replace(node, spec=replace(node.spec, dtype=dtype)), held, readers[node.name])
    return graph.with_int8(chosen)


def conversion(kind: OperatorKind, shape: tuple[int, int, int]) -> OperatorSpec:
    """Return the operator that converts a tensor (channels, height, width)."""
    channels, height, width = shape
    return OperatorSpec(
        kind=kind, in_channels=channels, out_channels=channels, height=height, width=width
    )


def _conversions(node: GraphNode, held: dict[str, Held], dtype: Held) -> list[GraphNode]:
    """Convert the tensors that a node reads and that are not there in its dtype.

    What was converted to int8 is there for others too. What is converted back is not: the runtime
    gives each reader a conversion of its own.
    """
    converted = []
    for name in node.inputs:
        if not held[name] & dtype:
            converted.append(_converted(name, _CONVERSIONS[dtype], node.spec.in_shape))
            if dtype == _INT8:
                held[name] |= _INT8
    return converted


def _converted(name: str, kind: OperatorKind, shape: tuple[int, int, int]) -> GraphNode:
    return GraphNode(name=f"{name}.{kind.value}", spec=conversion(kind, shape), inputs=(name,))


def _of_int8(node: GraphNode, held: Mapping[str, Held]) -> Held:
    """Return what is to be known of a tensor of float32 that was made of int8 ones."""
    kind, sources = node.spec.kind, [held[name] for name in node.inputs]
    found = 0
    passes = kind in (OperatorKind.RELU, OperatorKind.MAX_POOL) and sources[0] & _BETWEEN
    if passes or all(source & _MADE_INT8 for source in sources):
        found |= _BETWEEN
    if kind not in _OWN_LAYOUT and any(source & (_MADE_INT8 | _PLAIN_LAYOUT) for source in sources):
        found |= _PLAIN_LAYOUT
    return found


def _takes_sum(node: GraphNode, held: Mapping[str, Held]) -> bool:
    tensors = [held[name] for name in node.inputs]
    plain = any(tensor & (_MADE_INT8 | _PLAIN_LAYOUT) for tensor in tensors)
    return not plain and any(tensor & _TAKES_SUM for tensor in tensors)


def _takes_relu(tensor: Held, dtype: Held) -> bool:
    made = _INT8 if tensor & _MADE_INT8 else _FLOAT32
    return made == dtype and bool(tensor & _TAKES_RELU)


def _still_taken(spec: OperatorSpec, dtype: Held, *, summed: bool, is_sum: bool) -> Held:
    """Return what can still be merged into what made a tensor with a single reader."""
    plain = spec.kind is OperatorKind.CONV and spec.activation is Activation.NONE
    if dtype == _INT8:
        return _TAKES_RELU if plain or is_sum else 0
    if summed:
        return _TAKES_RELU
    return _TAKES_SUM | _TAKES_RELU if plain else 0
