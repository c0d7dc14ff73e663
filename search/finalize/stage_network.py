"""StageNetwork: the network of a genotype of stages as a torch module, every layer able to be sparse.

`build_stages` describes the same network for the table and the exporter; the `parameters` of its
nodes are the module paths of this one, and its activations are those of its nodes. Behind every
convolution is a batch norm. A test holds both to the same outputs.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from search.layers.sparse import SparseConv2d, SparseLinear
from search.space.stage_genotype import BlockKind, Stage, StageGenotype
from search.space.stage_networks import build_stages
from search.space.task import TaskShape


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a convolution where the shape changes.

    He et al., arXiv 1512.03385, figure 5 left.
    """

    shortcut: SparseConv2d | None

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = SparseConv2d(in_channels, width, 3, stride=stride)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = SparseConv2d(width, width, 3)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut = None
        if stride > 1 or in_channels != width:
            self.shortcut = SparseConv2d(in_channels, width, 1)
            self.shortcut_norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, width, height / stride, width / stride)."""
        beside = x
        if self.shortcut is not None:
            # Pixels are picked here and not by a stride, as in FactorizedReduce.
            picked = x[:, :, :: self.stride, :: self.stride]
            beside = self.shortcut_norm(self.shortcut(picked))
        x = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(x)) + beside)


class InvertedResidual(nn.Module):
    """Expand, filter, project, and the input added where the shape is kept.

    Sandler et al., arXiv 1801.04381, section 3.4. A projected one has a sum wherever it keeps the
    image size, and always expands; as `NetworkBuilder.inverted_residual`.
    """

    expand: SparseConv2d | None
    shortcut: SparseConv2d | None

    def __init__(self, in_channels: int, stage: Stage, stride: int) -> None:
        super().__init__()
        middle, projected = stage.expansion * in_channels, stage.kind is BlockKind.PROJECTED
        same_width = in_channels == stage.width
        self.expand = None
        if projected or stage.expansion > 1:
            self.expand = SparseConv2d(in_channels, middle, 1)
            self.expand_norm = nn.BatchNorm2d(middle)
        self.depthwise = SparseConv2d(middle, middle, stage.kernel, stride=stride, groups=middle)
        self.depthwise_norm = nn.BatchNorm2d(middle)
        self.project = SparseConv2d(middle, stage.width, 1)
        self.project_norm = nn.BatchNorm2d(stage.width)
        self.has_sum = stride == 1 and (projected or same_width)
        self.shortcut = None
        if self.has_sum and not same_width:
            self.shortcut = SparseConv2d(in_channels, stage.width, 1)
            self.shortcut_norm = nn.BatchNorm2d(stage.width)

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, width, height / stride, width / stride)."""
        y = x
        if self.expand is not None:
            y = F.relu6(self.expand_norm(self.expand(y)))
        y = F.relu6(self.depthwise_norm(self.depthwise(y)))
        projected: Tensor = self.project_norm(self.project(y))
        if not self.has_sum:
            return projected
        return projected + (x if self.shortcut is None else self.shortcut_norm(self.shortcut(x)))


class PlainBlock(nn.Module):
    """One full convolution."""

    def __init__(self, in_channels: int, stage: Stage, stride: int) -> None:
        super().__init__()
        self.conv = SparseConv2d(in_channels, stage.width, stage.kernel, stride=stride)
        self.norm = nn.BatchNorm2d(stage.width)

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, width, height / stride, width / stride)."""
        return F.relu(self.norm(self.conv(x)))


class StageNetwork(nn.Module):
    """Stem, stages, perhaps a head, global average pooling, classifier.

    Raises:
        ValueError: the genotype chooses sparsity for a layer that the network does not have.
    """

    head: SparseConv2d | None

    def __init__(self, genotype: StageGenotype, task: TaskShape) -> None:
        super().__init__()
        build_stages(genotype, task)  # refuses choices for layers that are not there
        self.genotype = genotype
        self.task = task
        self.stem = SparseConv2d(task.image_channels, genotype.stem, 3)
        self.stem_norm = nn.BatchNorm2d(genotype.stem)
        self.stages = nn.Sequential()
        channels = genotype.stem
        for stage in genotype.stages:
            self.stages.append(_make_stage(channels, stage))
            channels = stage.width
        self.head = None
        if genotype.head:
            self.head = SparseConv2d(channels, genotype.head, 1)
            self.head_norm = nn.BatchNorm2d(genotype.head)
        self.logits = SparseLinear(genotype.head or channels, task.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (batch, classes) for images (batch, channels, height, width)."""
        x = self.stages(F.relu(self.stem_norm(self.stem(images))))
        if self.head is not None:
            x = F.relu(self.head_norm(self.head(x)))
        pooled = F.adaptive_avg_pool2d(x, 1).flatten(1)
        logits: Tensor = self.logits(pooled)
        return logits


def _make_stage(in_channels: int, stage: Stage) -> nn.Sequential:
    """Return the blocks of a stage; only the first changes width and image size."""
    first = _make_block(in_channels, stage, stage.stride)
    return nn.Sequential(
        first, *(_make_block(stage.width, stage, 1) for _ in range(stage.depth - 1))
    )


def _make_block(in_channels: int, stage: Stage, stride: int) -> nn.Module:
    if stage.kind is BlockKind.BASIC:
        return BasicBlock(in_channels, stage.width, stride)
    if stage.kind is BlockKind.PLAIN:
        return PlainBlock(in_channels, stage, stride)
    return InvertedResidual(in_channels, stage, stride)
