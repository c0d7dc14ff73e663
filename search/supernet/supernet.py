"""Supernet: the DARTS network of mixed cells, in which every layer can be sparse.

Liu et al., DARTS, arXiv 1806.09055; that the layers are parametrically sparse is DASS'. It may be
narrower and shallower than the network that is exported: latency is never read from it.
"""

from torch import Tensor, nn

from search.layers.memory import memory_format
from search.layers.sparse import SparseConv2d, SparseLinear
from search.space.task import TaskShape
from search.supernet.cell import SupernetCell

STEM_WIDTH = 3  # the stem gives this many times the channels of the first cell
CELL_WIDTH = 4  # a cell gives this many times its own channels


def reduction_indices(cells: int) -> tuple[int, int]:
    """Return the positions of the two cells that halve the image and double the channels."""
    return cells // 3, 2 * cells // 3


class Supernet(nn.Module):
    """Stem, mixed cells, global average pooling, classifier.

    Args:
        channels: of the first cell.
        cells: how many; a third and two thirds of the way are reductions.
        task: shape of the images and number of classes.
    """

    def __init__(self, channels: int, cells: int, task: TaskShape) -> None:
        super().__init__()
        width = STEM_WIDTH * channels
        self.stem = SparseConv2d(task.image_channels, width, 3)
        self.stem_norm = nn.BatchNorm2d(width)
        self.cells = nn.ModuleList()
        inputs = (width, width)
        after_reduction = False
        for index in range(cells):
            reduction = index in reduction_indices(cells)
            channels = channels * 2 if reduction else channels
            cell = SupernetCell(
                inputs, channels, reduction=reduction, after_reduction=after_reduction
            )
            self.cells.append(cell)
            inputs = (inputs[1], CELL_WIDTH * channels)
            after_reduction = reduction
        self.classifier = SparseLinear(inputs[1], task.classes)

    def forward(self, images: Tensor, normal_EO: Tensor, reduce_EO: Tensor) -> Tensor:
        """Return logits (batch, classes) under the given weights of operations.

        Args:
            images: (batch, channels, height, width).
            normal_EO: (14, 8) weights of the operations in normal cells.
            reduce_EO: the same for reductions.
        """
        older = newer = self.stem_norm(self.stem(images)).contiguous(memory_format=memory_format())
        for cell in self.cells:
            weights = reduce_EO if cell.reduction else normal_EO
            older, newer = newer, cell(older, newer, weights)
        logits: Tensor = self.classifier(newer.mean(dim=(2, 3)))
        return logits
