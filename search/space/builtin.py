"""Networks that everybody knows, as graphs: what the operator library is measured on.

MobileNet-v2: Sandler et al., arXiv 1801.04381, table 2. ResNet-18: He et al., arXiv 1512.03385,
table 1, with projections where a shortcut changes shape (their option B). Batch norm is folded, so
a convolution has a bias and its activation; the last ReLU of a residual block stands alone, behind
the sum. The CIFAR forms read 32 px and have a stem of 3x3 with stride 1; ResNet-18 loses its max
pool too, and MobileNet-v2 takes stride 1 in the stage of 24 channels as well, so that both end with
4x4 pixels. Shortcuts of MobileNet-v2 are identities only, as in the paper.
"""

from collections.abc import Callable
from dataclasses import replace

from latency.graph import INPUT, OUTPUT, GraphNode, NetworkGraph
from latency.operator import Activation, OperatorKind, OperatorSpec

IMAGE_CHANNELS = 3
IMAGENET_SIZE, IMAGENET_CLASSES = 224, 1000
CIFAR_SIZE, CIFAR_CLASSES = 32, 10

# (expansion, channels, blocks, stride of the first block), as in the paper's table.
_INVERTED_RESIDUALS = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
    (6, 320, 1, 1),
)  # fmt: skip
_MOBILE_STEM, _MOBILE_HEAD = 32, 1280
_RESIDUAL_STAGES = (64, 128, 256, 512)
_BLOCKS_PER_STAGE = 2


def mobilenet_v2(*, cifar: bool = False) -> NetworkGraph:
    """Return MobileNet-v2 of width 1 for 224 px and 1000 classes, or its CIFAR form."""
    network = _Network(CIFAR_SIZE if cifar else IMAGENET_SIZE)
    relu6 = Activation.RELU6
    last = network.conv("stem", INPUT, _MOBILE_STEM, 3, 1 if cifar else 2, relu6)
    for stage, (expansion, channels, blocks, stride) in enumerate(_INVERTED_RESIDUALS):
        for block in range(blocks):
            keeps = block > 0 or (cifar and stage == 1)
            name = f"stages.{stage}.{block}"
            last = network.inverted_residual(
                name, last, expansion, channels, 1 if keeps else stride
            )
    last = network.conv("head", last, _MOBILE_HEAD, 1, 1, relu6)
    return network.finish(last, CIFAR_CLASSES if cifar else IMAGENET_CLASSES)


def resnet18(*, cifar: bool = False) -> NetworkGraph:
    """Return ResNet-18 for 224 px and 1000 classes, or its CIFAR form."""
    network = _Network(CIFAR_SIZE if cifar else IMAGENET_SIZE)
    relu = Activation.RELU
    if cifar:
        last = network.conv("stem", INPUT, _RESIDUAL_STAGES[0], 3, 1, relu)
    else:
        last = network.conv("stem", INPUT, _RESIDUAL_STAGES[0], 7, 2, relu)
        last = network.max_pool("stem.pool", last)
    for stage, channels in enumerate(_RESIDUAL_STAGES):
        for block in range(_BLOCKS_PER_STAGE):
            stride = 2 if stage > 0 and block == 0 else 1
            last = network.basic_block(f"stages.{stage}.{block}", last, channels, stride)
    return network.finish(last, CIFAR_CLASSES if cifar else IMAGENET_CLASSES)


BUILTIN: dict[str, Callable[[], NetworkGraph]] = {
    "mobilenet-v2": mobilenet_v2,
    "mobilenet-v2-cifar": lambda: mobilenet_v2(cifar=True),
    "resnet-18": resnet18,
    "resnet-18-cifar": lambda: resnet18(cifar=True),
}


class _Network:
    """Collects the nodes of one network in the order in which they run."""

    def __init__(self, size: int) -> None:
        self._input_shape = (IMAGE_CHANNELS, size, size)
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
        spec = self._conv(source, out_channels, kernel, stride)
        return self._add(name, replace(spec, activation=activation), source)

    def depthwise(self, name: str, source: str, stride: int, activation: Activation) -> str:
        """Add a 3x3 depthwise convolution."""
        channels = self._shapes[source][0]
        spec = self._conv(source, channels, 3, stride)
        return self._add(name, replace(spec, groups=channels, activation=activation), source)

    def inverted_residual(
        self, name: str, source: str, expansion: int, channels: int, stride: int
    ) -> str:
        """Add a block of MobileNet-v2: expand, filter, project, and the sum where shapes agree."""
        relu6, before = Activation.RELU6, self._shapes[source][0]
        last = source
        if expansion > 1:
            last = self.conv(f"{name}.expand", last, expansion * before, 1, activation=relu6)
        last = self.depthwise(f"{name}.depthwise", last, stride, relu6)
        last = self.conv(f"{name}.project", last, channels, 1)
        if stride == 1 and before == channels:
            last = self._sum(f"{name}.sum", last, source)
        return last

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
        linear = OperatorSpec(
            kind=OperatorKind.LINEAR,
            in_channels=self._shapes[pooled][0],
            out_channels=classes,
            height=1,
            width=1,
        )
        self._add(OUTPUT, linear, pooled)
        return NetworkGraph(input_shape=self._input_shape, nodes=tuple(self._nodes))

    def _conv(self, source: str, out_channels: int, kernel: int, stride: int) -> OperatorSpec:
        channels, height, width = self._shapes[source]
        return OperatorSpec(
            kind=OperatorKind.CONV,
            in_channels=channels,
            out_channels=out_channels,
            height=height,
            width=width,
            kernel=kernel,
            stride=stride,
            padding=kernel // 2,
        )

    def _plain(self, kind: OperatorKind, source: str, inputs: int = 1) -> OperatorSpec:
        channels, height, width = self._shapes[source]
        return OperatorSpec(
            kind=kind,
            in_channels=channels,
            out_channels=channels,
            height=height,
            width=width,
            inputs=inputs,
        )

    def _sum(self, name: str, *sources: str) -> str:
        return self._add(name, self._plain(OperatorKind.ADD, sources[0], len(sources)), *sources)

    def _add(self, name: str, spec: OperatorSpec, *sources: str) -> str:
        self._nodes.append(GraphNode(name=name, spec=spec, inputs=sources))
        self._shapes[name] = spec.out_shape
        return name
