"""Networks that everybody knows, as graphs: what the operator library is measured on.

MobileNet-v2: Sandler et al., arXiv 1801.04381, table 2. ResNet-18: He et al., arXiv 1512.03385,
table 1. The CIFAR forms read 32 px and have a stem of 3x3 with stride 1; ResNet-18 loses its max
pool too, and MobileNet-v2 takes stride 1 in the stage of 24 channels as well, so that both end with
4x4 pixels.
"""

from collections.abc import Callable

from latency.graph import INPUT, NetworkGraph
from latency.operator import Activation
from search.space import rivals
from search.space.blocks import NetworkBuilder
from search.space.rivals import INVERTED_RESIDUALS, KEEPS_SIZE, MOBILE_HEAD, MOBILE_STEM
from search.space.stage_genotype import BlockKind, Stage
from search.space.stage_networks import add_stage, build_stages
from search.space.task import CIFAR10, IMAGENET


def mobilenet_v2(*, cifar: bool = False) -> NetworkGraph:
    """Return MobileNet-v2 of width 1 for 224 px and 1000 classes, or its CIFAR form."""
    task = CIFAR10 if cifar else IMAGENET
    network = NetworkBuilder(task.image_channels, task.image_size)
    relu6 = Activation.RELU6
    last = network.conv("stem", INPUT, MOBILE_STEM, 3, 1 if cifar else 2, relu6)
    for index, (expansion, channels, blocks, stride) in enumerate(INVERTED_RESIDUALS):
        stage = Stage(
            kind=BlockKind.INVERTED,
            width=channels,
            depth=blocks,
            stride=1 if cifar and index == KEEPS_SIZE else stride,
            expansion=expansion,
        )
        last = add_stage(network, f"stages.{index}", last, stage)
    last = network.conv("head", last, MOBILE_HEAD, 1, 1, relu6)
    return network.finish(last, task.classes)


def resnet18() -> NetworkGraph:
    """Return ResNet-18 of width 1 for 224 px and 1000 classes."""
    network = NetworkBuilder(IMAGENET.image_channels, IMAGENET.image_size)
    genotype = rivals.resnet18()
    last = network.conv("stem", INPUT, genotype.stem, 7, 2, Activation.RELU)
    last = network.max_pool("stem.pool", last)
    for index, stage in enumerate(genotype.stages):
        last = add_stage(network, f"stages.{index}", last, stage)
    return network.finish(last, IMAGENET.classes)


def resnet18_cifar() -> NetworkGraph:
    """Return the CIFAR form of ResNet-18."""
    return build_stages(rivals.resnet18(), CIFAR10)


BUILTIN: dict[str, Callable[[], NetworkGraph]] = {
    "mobilenet-v2": mobilenet_v2,
    "mobilenet-v2-cifar": lambda: mobilenet_v2(cifar=True),
    "resnet-18": resnet18,
    "resnet-18-cifar": resnet18_cifar,
}
