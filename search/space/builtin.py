"""Networks that everybody knows, as graphs: what the operator library is measured on.

MobileNet-v2: Sandler et al., arXiv 1801.04381, table 2. ResNet-18: He et al., arXiv 1512.03385,
table 1. The CIFAR forms read 32 px and have a stem of 3x3 with stride 1; ResNet-18 loses its max
pool too, and MobileNet-v2 takes stride 1 in the stage of 24 channels as well, so that both end with
4x4 pixels.
"""

from collections.abc import Callable

from latency.graph import INPUT, NetworkGraph
from latency.operator import Activation
from search.space.blocks import NetworkBuilder

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
    network = NetworkBuilder(IMAGE_CHANNELS, CIFAR_SIZE if cifar else IMAGENET_SIZE)
    relu6 = Activation.RELU6
    last = network.conv("stem", INPUT, _MOBILE_STEM, 3, 1 if cifar else 2, relu6)
    for stage, (expansion, channels, blocks, stride) in enumerate(_INVERTED_RESIDUALS):
        for block in range(blocks):
            keeps = block > 0 or (cifar and stage == 1)
            last = network.inverted_residual(
                f"stages.{stage}.{block}",
                last,
                channels,
                expansion=expansion,
                stride=1 if keeps else stride,
            )
    last = network.conv("head", last, _MOBILE_HEAD, 1, 1, relu6)
    return network.finish(last, CIFAR_CLASSES if cifar else IMAGENET_CLASSES)


def resnet18(*, cifar: bool = False) -> NetworkGraph:
    """Return ResNet-18 for 224 px and 1000 classes, or its CIFAR form."""
    network = NetworkBuilder(IMAGE_CHANNELS, CIFAR_SIZE if cifar else IMAGENET_SIZE)
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
