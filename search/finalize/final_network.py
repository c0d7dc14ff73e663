"""FinalNetwork: the network of a genotype as a torch module, every layer able to be sparse.

`build_graph` describes the same network for the table and the exporter; the `parameters` of its
nodes are the module paths of this one. A test holds both to the same outputs.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search.layers.operations import FactorizedReduce, ReLUConvBN, make_operation
from search.layers.sparse import SparseConv2d, SparseLinear
from search.space.dass_cells import (
    SEPARABLE,
    STEM_FACTOR,
    CellPlan,
    build_graph,
    middle_width,
    plan_cells,
)
from search.space.genotype import EDGES, NODES, Edge, Genotype
from search.space.task import TaskShape


class Stem(nn.Module):
    """3x3 convolution and batch norm; its readers apply the ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = SparseConv2d(in_channels, out_channels, 3)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, out, height, width)."""
        normed: Tensor = self.norm(self.conv(x))
        return normed


class FinalCell(nn.Module):
    """One cell: two preprocessed inputs, four nodes of two edges, the nodes concatenated.

    An input that no edge reads has no preprocessing.
    """

    preprocess0: nn.Module | None
    preprocess1: nn.Module | None

    def __init__(self, plan: CellPlan, genotype: Genotype) -> None:
        super().__init__()
        self.chosen: tuple[Edge, ...] = getattr(genotype, plan.kind)
        read = {source for _, source in self.chosen}
        first = FactorizedReduce if plan.after_reduction else ReLUConvBN
        before_last, last = plan.inputs
        self.preprocess0 = first(before_last, plan.channels, affine=True) if 0 in read else None
        self.preprocess1 = ReLUConvBN(last, plan.channels, affine=True) if 1 in read else None
        self.edges = nn.ModuleList(
            _make_edge(plan, index, operation, source, genotype)
            for index, (operation, source) in enumerate(self.chosen)
        )

    def forward(self, before_last: Tensor, last: Tensor) -> Tensor:
        """Return (batch, 4 * channels, height, width)."""
        states = [
            state if module is None else module(state)
            for module, state in ((self.preprocess0, before_last), (self.preprocess1, last))
        ]
        ends = []
        for index in range(EDGES):
            ends.append(self.edges[index](states[self.chosen[index][1]]))
            if index % 2:
                states.append(ends[-2] + ends[-1])
        return torch.cat(states[-NODES:], dim=1)


class FinalNetwork(nn.Module):
    """Stem, cells, global average pooling, classifier.

    Raises:
        ValueError: the genotype chooses sparsity for a layer that the network does not have.
    """

    def __init__(self, genotype: Genotype, task: TaskShape) -> None:
        super().__init__()
        self.genotype = genotype
        self.task = task
        live = {node.name for node in build_graph(genotype, task).nodes}
        self.stem = Stem(task.image_channels, STEM_FACTOR * genotype.channels)
        self.cells = nn.ModuleDict()
        plans = plan_cells(genotype.channels, genotype.cells, task)
        for plan in plans:
            if f"cells.{plan.index}.output" in live:
                self.cells[str(plan.index)] = FinalCell(plan, genotype)
        self.classifier = SparseLinear(NODES * plans[-1].channels, task.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (batch, classes) for images (batch, channels, height, width)."""
        before_last = last = self.stem(images)
        for index in range(self.genotype.cells):
            # A cell that nothing reads is left out; its place in the sequence stays.
            cell = dict(self.cells.items()).get(str(index))
            before_last, last = last, last if cell is None else cell(before_last, last)
        pooled = F.adaptive_avg_pool2d(last, 1).flatten(1)
        logits: Tensor = self.classifier(pooled)
        return logits


def _make_edge(
    plan: CellPlan, index: int, operation: str, source: int, genotype: Genotype
) -> nn.Module:
    middle = None
    if operation in SEPARABLE:
        choice = genotype.choice(f"cells.{plan.index}.edges.{index}")
        middle = middle_width(plan.channels, choice)
    stride = plan.stride(source)
    return make_operation(operation, plan.channels, stride, affine=True, middle_channels=middle)
