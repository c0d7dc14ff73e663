"""The space of DASS: cells of the DARTS form; from a genotype to the network that is exported.

`build_graph` is the one description of the exported network: the table prices it, the profiler
builds it with random weights, the exporter with trained ones. A separable convolution may have
fewer channels in its middle (channel sparsity), in quarters of the channels of its cell.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

from latency.graph import INPUT, OUTPUT, GraphNode, NetworkGraph
from latency.operator import Activation, OperatorKind, OperatorSpec, SparsityPattern
from search.space.genotype import NODES, Edge, Genotype, LayerChoice
from search.space.task import TaskShape

WIDTH_STEPS = (0.25, 0.5, 0.75, 1.0)  # middle width of a separable convolution
MERGED_KERNEL = 2  # of a factorized reduce; no other operator has it
STEM_FACTOR = 3  # the stem gives three times the channels of the first cell

# Kernel and dilation of the operations that have weights at stride 1.
SEPARABLE = {"sep_conv_3x3": 3, "sep_conv_5x5": 5}
DILATED = {"dil_conv_3x3": 3, "dil_conv_5x5": 5}
POOLS = {"max_pool_3x3": OperatorKind.MAX_POOL, "avg_pool_3x3": OperatorKind.AVG_POOL}

# Specs are checked when they are made; a search asks for the same few hundred again and again.
_remembered = lru_cache(maxsize=4096)


@dataclass(frozen=True, kw_only=True)
class CellPlan:
    """Shapes of one cell of a network."""

    index: int
    reduction: bool
    after_reduction: bool  # its first input is twice as large as its second
    channels: int  # of each node
    size: int  # height and width of the second input, pixels
    inputs: tuple[int, int]  # channels of the outputs of the two previous cells

    @property
    def kind(self) -> str:
        """`normal` or `reduce`: which cell of the genotype it repeats."""
        return "reduce" if self.reduction else "normal"

    @property
    def out_size(self) -> int:
        """Height and width of the output, pixels."""
        return self.size // 2 if self.reduction else self.size

    def stride(self, source: int) -> int:
        """Return the stride of an edge that reads input `source`."""
        return 2 if self.reduction and source < 2 else 1


def plan_cells(channels: int, cells: int, task: TaskShape) -> tuple[CellPlan, ...]:
    """Return the shapes of every cell; reductions at one and two thirds, as in DARTS."""
    plans: list[CellPlan] = []
    width, size, after_reduction = channels, task.image_size, False
    inputs = (STEM_FACTOR * channels, STEM_FACTOR * channels)
    for index in range(cells):
        reduction = index in (cells // 3, 2 * cells // 3)
        width *= 2 if reduction else 1
        plan = CellPlan(
            index=index,
            reduction=reduction,
            after_reduction=after_reduction,
            channels=width,
            size=size,
            inputs=inputs,
        )
        plans.append(plan)
        inputs, size, after_reduction = (inputs[1], NODES * width), plan.out_size, reduction
    return tuple(plans)


def middle_width(channels: int, choice: LayerChoice | None) -> int:
    """Return the channels in the middle of a separable convolution.

    Raises:
        ValueError: the choice is not one of WIDTH_STEPS of the channel pattern.
    """
    if choice is None:
        return channels
    if choice.pattern is not SparsityPattern.CHANNEL or choice.density not in WIDTH_STEPS:
        raise ValueError(
            f"genotype: {choice.layer} takes pattern 'channel' and a density of {WIDTH_STEPS}"
        )
    return max(1, round(channels * choice.density))


def build_graph(genotype: Genotype, task: TaskShape) -> NetworkGraph:
    """Return the network of `genotype` for `task`, batch norm folded, ReLU shared and fused.

    `parameters` of a node is the path of its module in FinalNetwork. Nodes that nothing reads,
    such as the preprocessing of an unused cell input, are left out.

    Raises:
        ValueError: the genotype chooses sparsity for a layer that the network does not have.
    """
    builder = _Builder(genotype)
    outputs = [builder.stem(task)] * 2
    for plan in plan_cells(genotype.channels, genotype.cells, task):
        outputs = [outputs[1], builder.cell(plan, outputs[0], outputs[1])]
    builder.head(outputs[1], task)
    nodes = _fuse_relu(_reachable(builder.nodes))
    _check_layers(genotype, nodes)
    return NetworkGraph(input_shape=task.input_shape, nodes=tuple(nodes))


class _Builder:
    """Collects the nodes of one network in an order in which they can run."""

    def __init__(self, genotype: Genotype) -> None:
        self.genotype = genotype
        self.choices = {choice.layer: choice for choice in genotype.layers}
        self.nodes: list[GraphNode] = []
        self.shapes: dict[str, tuple[int, int]] = {}  # channels and size of each tensor
        self.rectified: dict[str, str] = {}  # tensor -> its shared ReLU

    def add(
        self, name: str, spec: OperatorSpec, inputs: tuple[str, ...], parameters: str = ""
    ) -> str:
        self.nodes.append(GraphNode(name=name, spec=spec, inputs=inputs, parameters=parameters))
        self.shapes[name] = (spec.out_channels, spec.out_height)
        return name

    def stem(self, task: TaskShape) -> str:
        spec = conv_spec(
            task.image_channels, STEM_FACTOR * self.genotype.channels, task.image_size, kernel=3
        )
        return self.add("stem.conv", self._sparse(spec, "stem.conv"), (INPUT,), "stem.conv")

    def head(self, source: str, task: TaskShape) -> None:
        channels, size = self.shapes[source]
        pool = plain_spec(OperatorKind.GLOBAL_AVG_POOL, channels, size)
        linear = self._sparse(linear_spec(channels, task.classes), "classifier")
        pooled = self.add("pooling", pool, (source,))
        self.add(OUTPUT, linear, (pooled,), "classifier")

    def cell(self, plan: CellPlan, before_last: str, last: str) -> str:
        path = f"cells.{plan.index}"
        if plan.after_reduction:
            first = self.factorized_reduce(f"{path}.preprocess0", before_last, plan.channels)
        else:
            first = self.pointwise(f"{path}.preprocess0", before_last, plan.channels)
        states = [first, self.pointwise(f"{path}.preprocess1", last, plan.channels)]
        edges: tuple[Edge, ...] = getattr(self.genotype, plan.kind)
        for node in range(NODES):
            ends = tuple(
                self.edge(plan, f"{path}.edges.{index}", edges[index], states)
                for index in (2 * node, 2 * node + 1)
            )
            spec = plain_spec(OperatorKind.ADD, plan.channels, plan.out_size, inputs=2)
            states.append(self.add(f"{path}.node{node + 2}", spec, ends))
        spec = plain_spec(OperatorKind.CONCAT, plan.channels, plan.out_size, inputs=NODES)
        return self.add(f"{path}.output", spec, tuple(states[2:]))

    def edge(self, plan: CellPlan, path: str, edge: Edge, states: list[str]) -> str:
        operation, source = edge
        stride, state = plan.stride(source), states[source]
        if operation == "skip_connect":
            return state if stride == 1 else self.factorized_reduce(path, state, plan.channels)
        if operation in POOLS:
            return self.add(path, pool_spec(operation, *self.shapes[state], stride), (state,))
        if operation in DILATED:
            specs = dilated_specs(operation, *self.shapes[state], stride)
            return self.chain(path, self.relu(state), specs)
        middle = middle_width(plan.channels, self.choices.get(path))
        specs = separable_specs(operation, *self.shapes[state], stride, middle)
        return self.chain(path, self.relu(state), specs)

    def chain(self, path: str, source: str, specs: dict[str, OperatorSpec]) -> str:
        for name, spec in specs.items():
            layer = f"{path}.{name}"
            source = self.add(layer, self._sparse(spec, layer), (source,), layer)
        return source

    def pointwise(self, path: str, source: str, out_channels: int) -> str:
        source = self.relu(source)
        channels, size = self.shapes[source]
        layer = f"{path}.conv"
        spec = self._sparse(conv_spec(channels, out_channels, size), layer)
        return self.add(layer, spec, (source,), layer)

    def factorized_reduce(self, path: str, source: str, out_channels: int) -> str:
        source = self.relu(source)
        channels, size = self.shapes[source]
        spec = self._sparse(reduce_spec(channels, out_channels, size), path, share=0.25)
        return self.add(path, spec, (source,), path)

    def relu(self, source: str) -> str:
        if source not in self.rectified:
            spec = plain_spec(OperatorKind.RELU, *self.shapes[source])
            self.rectified[source] = self.add(f"{source}.relu", spec, (source,))
        return self.rectified[source]

    def _sparse(self, spec: OperatorSpec, layer: str, *, share: float = 1.0) -> OperatorSpec:
        """Apply the choice for `layer`, of whose weights the merged kernel holds a `share`."""
        choice = self.choices.get(layer)
        if choice is None or choice.pattern is SparsityPattern.DENSE:
            return spec
        return replace(spec, pattern=choice.pattern, density=choice.density * share)


@_remembered
def conv_spec(in_channels: int, out_channels: int, size: int, *, kernel: int = 1) -> OperatorSpec:
    """Return a dense convolution of stride 1 that keeps the image size."""
    return OperatorSpec(
        kind=OperatorKind.CONV,
        in_channels=in_channels,
        out_channels=out_channels,
        height=size,
        width=size,
        kernel=kernel,
        padding=kernel // 2,
    )


@_remembered
def reduce_spec(in_channels: int, out_channels: int, size: int) -> OperatorSpec:
    """Return a factorized reduce: both of its 1x1 convolutions merged into one of kernel 2.

    The first half of the output reads the even pixels, the second half the odd ones, so one 2x2
    convolution of stride 2 with weights at [0, 0] or [1, 1] computes exactly the same.
    """
    return OperatorSpec(
        kind=OperatorKind.CONV,
        in_channels=in_channels,
        out_channels=out_channels,
        height=size,
        width=size,
        kernel=MERGED_KERNEL,
        stride=2,
    )


@_remembered
def pool_spec(operation: str, channels: int, size: int, stride: int) -> OperatorSpec:
    """Return a 3x3 pooling operation."""
    spec = plain_spec(POOLS[operation], channels, size)
    return replace(spec, kernel=3, stride=stride, padding=1)


@_remembered
def depthwise_spec(
    channels: int,
    size: int,
    *,
    kernel: int,
    stride: int = 1,
    dilation: int = 1,
    activation: Activation = Activation.NONE,
) -> OperatorSpec:
    """Return a depthwise convolution that keeps the image size, or halves it at stride 2."""
    return replace(
        conv_spec(channels, channels, size, kernel=kernel),
        stride=stride,
        dilation=dilation,
        padding=dilation * (kernel // 2),
        groups=channels,
        activation=activation,
    )


def dilated_specs(operation: str, channels: int, size: int, stride: int) -> dict[str, OperatorSpec]:
    """Return the operators of a dilated convolution by module name, after the ReLU."""
    kernel = DILATED[operation]
    first = depthwise_spec(channels, size, kernel=kernel, stride=stride, dilation=2)
    return {"depthwise": first, "pointwise": conv_spec(channels, channels, size // stride)}


def separable_specs(
    operation: str, channels: int, size: int, stride: int, middle: int
) -> dict[str, OperatorSpec]:
    """Return the operators of a separable convolution by module name, after the ReLU.

    `middle` is the number of channels between its two halves.
    """
    kernel, small = SEPARABLE[operation], size // stride
    widen = conv_spec(channels, middle, small)
    return {
        "depthwise1": depthwise_spec(channels, size, kernel=kernel, stride=stride),
        "pointwise1": rectified(widen),
        "depthwise2": depthwise_spec(middle, small, kernel=kernel),
        "pointwise2": conv_spec(middle, channels, small),
    }


@_remembered
def rectified(spec: OperatorSpec) -> OperatorSpec:
    """Return the operator with a ReLU fused behind it."""
    return replace(spec, activation=Activation.RELU)


@_remembered
def plain_spec(kind: OperatorKind, channels: int, size: int, *, inputs: int = 1) -> OperatorSpec:
    """Return an operator without weights that keeps the image size."""
    out_channels = channels * inputs if kind is OperatorKind.CONCAT else channels
    return OperatorSpec(
        kind=kind,
        in_channels=channels,
        out_channels=out_channels,
        height=size,
        width=size,
        inputs=inputs,
    )


@_remembered
def linear_spec(in_channels: int, classes: int) -> OperatorSpec:
    """Return a dense classifier."""
    return OperatorSpec(
        kind=OperatorKind.LINEAR, in_channels=in_channels, out_channels=classes, height=1, width=1
    )


def _reachable(nodes: list[GraphNode]) -> list[GraphNode]:
    """Return the nodes that the last one depends on, in order."""
    wanted = {nodes[-1].name}
    kept: list[GraphNode] = []
    for node in reversed(nodes):
        if node.name in wanted:
            wanted.update(node.inputs)
            kept.append(node)
    return kept[::-1]


def _fuse_relu(nodes: list[GraphNode]) -> list[GraphNode]:
    """Move a ReLU into the convolution before it where nothing else reads that convolution."""
    readers: dict[str, list[GraphNode]] = {}
    for node in nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    fused = {
        node.name
        for node in nodes
        if node.spec.kind is OperatorKind.CONV
        and [reader.spec.kind for reader in readers.get(node.name, [])] == [OperatorKind.RELU]
    }
    renamed: dict[str, str] = {}
    result: list[GraphNode] = []
    for node in nodes:
        if node.spec.kind is OperatorKind.RELU and node.inputs[0] in fused:
            renamed[node.name] = node.inputs[0]
            continue
        spec = rectified(node.spec) if node.name in fused else node.spec
        inputs = tuple(renamed.get(name, name) for name in node.inputs)
        result.append(node.with_spec(spec).with_inputs(inputs))
    return result


def _check_layers(genotype: Genotype, nodes: list[GraphNode]) -> None:
    layers = {node.parameters for node in nodes if node.parameters}
    separable = {layer.removesuffix(".pointwise1") for layer in layers if "pointwise1" in layer}
    for choice in genotype.layers:
        known = separable if choice.pattern is SparsityPattern.CHANNEL else layers
        if choice.layer not in known:
            raise ValueError(f"genotype: the network has no {choice.pattern} layer {choice.layer}")
