"""Micro-models: two small networks whose difference in time is `copies` times one operator.

An operator alone in a session costs several times as much as inside a network: the session's
own time and the change of memory layout on both sides come with it. So both models here have the
same frame, and only the number of operators differs. The frame of copy i:

    x[i] = relu(depthwise 1x1 of x[i - 1])    gives each copy an input of its own, in the layout
    y[i] = operator(x[i])                     that the regime uses inside a network
    sum += depthwise 1x1 of y[i], stride H    keeps y[i] alive by reading only one of its pixels

The long model has copies + 1 operators. The short one has a single operator at the end of the
same frame, whose output all the sums read. Weights are distinct everywhere.

x[i] is computed right before operator i, as in a network: an operator that lives on memory and finds
its input in a slower cache is too dear (64 to 16 channels, 1x1: by 15 %).

A conversion between dtypes is no operator that could be added. There the x[i] are made in the one
dtype from a tensor that they share, and the reader of a pixel is of the other dtype in copy i: of
all of them in the long model, of one in the short one. So a change of layout that comes with the
dtype, as between kernels of the two, is a part of it.
"""

from dataclasses import dataclass, replace

from latency.graph import INPUT, GraphNode, NetworkGraph
from latency.operator import (
    CONVERSIONS,
    Activation,
    OperatorKind,
    OperatorSpec,
    Regime,
    SparsityPattern,
)

METHOD = "frame"
COPIES = 8
# A network reads its image in plain layout; anything with more channels comes from an operator.
IMAGE_CHANNELS = 4
_FLAT_OUTPUT = (OperatorKind.LINEAR, OperatorKind.GLOBAL_AVG_POOL)


@dataclass(frozen=True, kw_only=True)
class MicroModels:
    """Two networks that differ by `copies` operators."""

    short: NetworkGraph
    long: NetworkGraph
    copies: int


def micro_models(spec: OperatorSpec, copies: int = COPIES) -> MicroModels:
    """Return the short and the long network of an operator; those of a conversion mix dtypes."""
    make = _converting if spec.kind in CONVERSIONS else _network
    return MicroModels(
        short=make(spec, copies, operators=1),
        long=make(spec, copies, operators=copies + 1),
        copies=copies,
    )


def _network(spec: OperatorSpec, copies: int, *, operators: int) -> NetworkGraph:
    frame = _Frame(spec)
    sources = frame.sources(copies + 1)
    added = frame.residuals(sources[0], copies + 1) if spec.residual else []
    outputs = []
    for index in range(operators):
        copy = index + copies + 1 - operators
        inputs = (*frame.inputs(sources, copy), *added[copy : copy + 1])
        outputs.append(frame.add(f"operator{index}", spec, inputs))
    outputs = outputs * (copies + 1) if operators == 1 else outputs
    frame.sum(outputs)
    return NetworkGraph(input_shape=spec.in_shape, nodes=tuple(frame.nodes))


def _converting(spec: OperatorSpec, copies: int, *, operators: int) -> NetworkGraph:
    """Return the network in which so many copies, the last ones, convert what they read."""
    frame = _Frame(spec)
    sources = frame.siblings(copies + 1)
    frame.sum(sources)
    made_int8 = spec.kind is OperatorKind.DEQUANTIZE
    converting = set(frame.readers[copies + 1 - operators :])
    int8 = {*sources, "base"} if made_int8 else set()
    int8 |= {name for name in frame.readers if (name in converting) != made_int8}
    nodes = (
        replace(node, spec=replace(node.spec, dtype="int8")) if node.name in int8 else node
        for node in frame.nodes
    )
    return NetworkGraph(input_shape=spec.in_shape, nodes=tuple(nodes))


class _Frame:
    """Collects the nodes of one micro-model."""

    def __init__(self, spec: OperatorSpec) -> None:
        self.spec = spec
        self.nodes: list[GraphNode] = []
        self.readers: list[str] = []  # of a pixel of each output, where outputs have pixels

    def add(self, name: str, spec: OperatorSpec, inputs: tuple[str, ...]) -> str:
        self.nodes.append(GraphNode(name=name, spec=spec, inputs=inputs))
        return name

    def sources(self, count: int) -> list[str]:
        """Return the tensors that the copies read."""
        spec = self.spec
        if spec.kind is OperatorKind.LINEAR:
            pool = self._plain(OperatorKind.GLOBAL_AVG_POOL, spec.in_shape)
            return [self.add("source", pool, (INPUT,))] * count
        if spec.in_channels <= IMAGE_CHANNELS:
            return [INPUT] * count
        return self._chain("source", INPUT, spec.in_shape, count)

    def siblings(self, count: int) -> list[str]:
        """Return `count` tensors of the operator's shape, all made from one."""
        producer = self._pixelwise(self.spec.in_shape, stride=1, activation=Activation.RELU)
        base = self.add("base", producer, (INPUT,))
        return [self.add(f"source{index}", producer, (base,)) for index in range(count)]

    def residuals(self, source: str, count: int) -> list[str]:
        """Return the tensors that the copies add: of the output's shape, one for each."""
        seed = replace(
            self.spec,
            relu_input=False,
            residual=False,
            activation=Activation.NONE,
            pattern=SparsityPattern.DENSE,
            density=1.0,
        )
        start = self.add("seed", seed, (source,))
        return self._chain("residual", start, self.spec.out_shape, count)

    def inputs(self, sources: list[str], index: int) -> tuple[str, ...]:
        """Return the inputs of copy `index`: its own source, and earlier ones for a merge."""
        return tuple(sources[max(0, index - back)] for back in range(self.spec.inputs))

    def sum(self, outputs: list[str]) -> None:
        """Add up one value per channel of every output."""
        flat = self.spec.kind in _FLAT_OUTPUT
        shape = self.spec.out_shape
        reader = self._pixelwise(shape, stride=max(shape[1:]), activation=Activation.NONE)
        adder = self._plain(OperatorKind.ADD, (shape[0], 1, 1), inputs=2)
        readers: list[GraphNode] = []
        adders: list[GraphNode] = []
        total = ""
        for index, output in enumerate(outputs):
            value = output
            if not flat:
                value = f"pixel{index}"
                readers.append(GraphNode(name=value, spec=reader, inputs=(output,)))
                self.readers.append(value)
            if total:
                inputs = (total, value)
                adders.append(GraphNode(name=f"sum{index}", spec=adder, inputs=inputs))
            total = adders[-1].name if adders else value
        self.nodes += self._in_order(readers, adders)

    def _in_order(self, readers: list[GraphNode], adders: list[GraphNode]) -> list[GraphNode]:
        """Return them so that each operator is executed right behind what makes its input.

        ONNX Runtime walks from the output back to the inputs, and of two inputs of a node it
        computes first the one that was listed last. In the stock regime sums become part of the
        nodes before them, which are then as if listed last.
        """
        if self.spec.regime is Regime.LIBRARY or not readers:
            return [*readers, *adders]
        pairs = zip(readers[1:], adders, strict=True)
        return [readers[0], *(node for pair in pairs for node in pair)]

    def _chain(self, name: str, source: str, shape: tuple[int, int, int], count: int) -> list[str]:
        """Return `count` tensors of one shape, each made from the one before."""
        producer = self._pixelwise(shape, stride=1, activation=Activation.RELU)
        names = []
        for index in range(count):
            source = self.add(f"{name}{index}", producer, (source,))
            names.append(source)
        return names

    def _pixelwise(
        self, shape: tuple[int, int, int], *, stride: int, activation: Activation
    ) -> OperatorSpec:
        channels, height, width = shape
        return OperatorSpec(
            kind=OperatorKind.CONV,
            in_channels=channels,
            out_channels=channels,
            height=height,
            width=width,
            stride=stride,
            groups=channels,
            activation=activation,
            regime=self.spec.regime,
        )

    def _plain(
        self, kind: OperatorKind, shape: tuple[int, int, int], *, inputs: int = 1
    ) -> OperatorSpec:
        channels, height, width = shape
        return OperatorSpec(
            kind=kind,
            in_channels=channels,
            out_channels=channels,
            height=height,
            width=width,
            inputs=inputs,
            regime=self.spec.regime,
        )
