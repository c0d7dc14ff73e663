"""StageSupernet: the relaxed network of stages, in which every layer can be sparse.

A stage is a row of mixed blocks; its depth is a mixture of what leaves the first, the second and
the third. The stem may be narrower than that of the exported network: latency is never read from
here.

Shape suffixes: S stages, O block options, D depths, L levels, W widths of a level, H heads.
"""

from dataclasses import replace

from torch import Tensor, nn
from torch.nn import functional as F

from search.layers.memory import memory_format
from search.layers.sparse import SparseConv2d, SparseLinear
from search.space.stage_skeleton import DEPTHS, StagePlan, StageSkeleton
from search.supernet.stage_block import BlockMixture, BlockShape, MixedBlock


class MixedStage(nn.Module):
    """As many blocks as the deepest stage has; only the first changes width and image size."""

    def __init__(self, plan: StagePlan) -> None:
        super().__init__()
        first = BlockShape(
            in_widths=plan.in_widths,
            widths=plan.widths,
            stride=plan.stride,
            keeps_width=plan.continues,
        )
        other = BlockShape(in_widths=plan.widths, widths=plan.widths, stride=1, keeps_width=True)
        self.blocks = nn.ModuleList(
            MixedBlock(other if index else first) for index in range(max(DEPTHS))
        )

    def forward(self, x: Tensor, depths_D: Tensor, mixture: BlockMixture) -> Tensor:
        """Return (batch, widest, height / stride, width / stride).

        Args:
            x: (batch, widest input, height, width).
            depths_D: probabilities of DEPTHS.
            mixture: of the first block; the others read what has the stage's own width.
        """
        inner = replace(mixture, in_widths=mixture.widths)
        leaving = dict(zip(DEPTHS, depths_D, strict=True))
        total: Tensor | None = None
        for depth, block in enumerate(self.blocks, start=1):
            x = block(x, mixture if depth == 1 else inner)
            if depth in leaving:
                total = leaving[depth] * x if total is None else total + leaving[depth] * x
        assert total is not None
        return total


class StageSupernet(nn.Module):
    """Stem, mixed stages, global average pooling, classifier with and without a head."""

    def __init__(self, skeleton: StageSkeleton) -> None:
        super().__init__()
        self.skeleton = skeleton
        task, last, head = skeleton.task, max(skeleton.stages[-1].widths), max(skeleton.heads)
        self.stem = SparseConv2d(task.image_channels, skeleton.width, 3)
        self.stem_norm = nn.BatchNorm2d(skeleton.width)
        self.stages = nn.ModuleList(MixedStage(plan) for plan in skeleton.stages)
        self.classifier = SparseLinear(last, task.classes)
        self.head = SparseConv2d(last, head, 1)
        self.head_norm = nn.BatchNorm2d(head, affine=False)
        self.head_classifier = SparseLinear(head, task.classes)

    def forward(
        self,
        images: Tensor,
        options_SO: Tensor,
        depths_SD: Tensor,
        widths_LW: Tensor,
        heads_1H: Tensor,
    ) -> Tensor:
        """Return logits (batch, classes) under the given probabilities of options.

        Args:
            images: (batch, channels, height, width).
            options_SO: of the blocks of each stage.
            depths_SD: of the depths of each stage.
            widths_LW: of the two widths of each level.
            heads_1H: of no head and of one.
        """
        x = F.relu(self.stem_norm(self.stem(images))).contiguous(memory_format=memory_format())
        entered = options_SO.new_ones(1)
        for index, (plan, stage) in enumerate(zip(self.skeleton.stages, self.stages, strict=True)):
            own = widths_LW[plan.level]
            mixture = BlockMixture(options=options_SO[index], in_widths=entered, widths=own)
            x, entered = stage(x, depths_SD[index], mixture), own
        plain: Tensor = self.classifier(x.mean(dim=(2, 3)))
        tall = F.relu(self.head_norm(self.head(x)))
        headed: Tensor = self.head_classifier(tall.mean(dim=(2, 3)))
        without, with_head = heads_1H[0].unbind()
        return without * plain + with_head * headed
