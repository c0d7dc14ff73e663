"""Networks made of the blocks that everybody knows: NetworkBuilder adds them node by node.

Batch norm is folded, so a convolution has a bias and its activation. Inverted residual: Sandler et
al., arXiv 1801.04381, section 3.4, shortcuts are identities only. Basic block: He et al., arXiv
1512.03385, figure 5 left, with projections where a shortcut changes shape (their option B); its
last ReLU stands alone, behind the sum.
"""

from dataclasses import replace
from functools import lru_cache

from latency.graph import INPUT, OUTPUT, GraphNode, NetworkGraph
from latency.operator import Activation, OperatorKind, OperatorSpec
from search.space.dass_cells import conv_spec, depthwise_spec, linear_spec, plain_spec
from search.space.stage_genotype import BlockKind, Stage


class NetworkBuilder:
    """Collects the nodes of one network in the order in which they run.

    A node with weights has its own name for `parameters`. The image is (channels, size, size).
    """

    def __init__(self, image_channels: int, size: int) -> None:
        self._input_shape = (image_channels, size, size)
        self._shapes: dict[str, tuple[int, int, int]] = {INPUT: self._input_shape}
        self._nodes: list[GraphNode] = []

    def conv(
        self,
        name: str,
        source: str,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        activation: Activation = Activation.NONE,
    ) -> str:
        """Add a convolution that keeps the image size, divided by its stride."""
        channels, size, _ = self._shapes[source]
        spec = _conv_spec(channels, out_channels, size, (kernel, stride), activation)
        return self._add(name, spec, source)

    def depthwise(
        self, name: str, source: str, kernel: int, stride: int, activation: Activation
    ) -> str:
        """Add a depthwise convolution that keeps the image size, divided by its stride."""
        channels, size, _ = self._shapes[source]
        spec = depthwise_spec(channels, size, kernel=kernel, stride=stride, activation=activation)
        return self._add(name, spec, source)

    def inverted_residual(self, name: str, source: str, stage: Stage, stride: int) -> str:
        """Add a block of MobileNet-v2: expand, filter, project, and the sum where shapes agree.

        A projected one has the form that is common on CIFAR: at stride 1 always with a sum. Where
        the widths differ, its shortcut is a 1x1 convolution; an expansion of 1 is one too.
        """
        relu6, before = Activation.RELU6, self._shapes[source][0]
        projected = stage.kind is BlockKind.PROJECTED
        has_sum = stride == 1 and (projected or before == stage.width)
        last = shortcut = source
        if has_sum and before != stage.width:
            shortcut = self.conv(f"{name}.shortcut", source, stage.width, 1)
        if projected or stage.expansion > 1:
            last = self.conv(f"{name}.expand", last, stage.expansion * before, 1, activation=relu6)
        last = self.depthwise(f"{name}.depthwise", last, stage.kernel, stride, relu6)
        last = self.conv(f"{name}.project", last, stage.width, 1)
        return self._sum(f"{name}.sum", last, shortcut) if has_sum else last

    def basic_block(self, name: str, source: str, channels: int, stride: int) -> str:
        """Add a block of ResNet-18: two 3x3 convolutions beside a shortcut."""
        shortcut = source
        if stride > 1 or self._shapes[source][0] != channels:
            shortcut = self.conv(f"{name}.shortcut", source, channels, 1, stride)
        last = self.conv(f"{name}.conv1", source, channels, 3, stride, Activation.RELU)
        last = self._sum(f"{name}.sum", self.conv(f"{name}.conv2", last, channels, 3), shortcut)
        return self._add(f"{name}.relu", self._plain(OperatorKind.RELU, last), last)

    def max_pool(self, name: str, source: str) -> str:
        """Add a 3x3 max pool of stride 2."""
        spec = self._plain(OperatorKind.MAX_POOL, source)
        return self._add(name, replace(spec, kernel=3, stride=2, padding=1), source)

    def finish(self, source: str, classes: int) -> NetworkGraph:
        """Add global pooling and the classifier; return the network."""
        pooled = self._add("pooling", self._plain(OperatorKind.GLOBAL_AVG_POOL, source), source)
        self._add(OUTPUT, linear_spec(self._shapes[pooled][0], classes), pooled)
        return NetworkGraph(input_shape=self._input_shape, nodes=tuple(self._nodes))

    def _plain(self, kind: OperatorKind, source: str, inputs: int = 1) -> OperatorSpec:
        channels, size, _ = self._shapes[source]
        return plain_spec(kind, channels, size, inputs=inputs)

    def _sum(self, name: str, *sources: str) -> str:
        return self._add(name, self._plain(OperatorKind.ADD, sources[0], len(sources)), *sources)

    def _add(self, name: str, spec: OperatorSpec, *sources: str) -> str:
        parameters = name if spec.weight_shape else ""
        self._nodes.append(GraphNode(name=name, spec=spec, inputs=sources, parameters=parameters))
        self._shapes[name] = spec.out_shape
        return name


@lru_cache(maxsize=4096)
def _conv_spec(
    channels: int, out_channels: int, size: int, window: tuple[int, int], activation: Activation
) -> OperatorSpec:
    """Return a convolution by its kernel and stride."""
    kernel, stride = window
    spec = conv_spec(channels, out_channels, size, kernel=kernel)
    return replace(spec, stride=stride, activation=activation)
