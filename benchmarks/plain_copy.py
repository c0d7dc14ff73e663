"""From our supernet to the straightforward one: equal weights, scores, statistics and masks.

We compute the edges that leave a state side by side in one layer; there each edge has its own. What
such a layer keeps of an edge's part becomes the number that the edge's own layer keeps, so the same
weights are masked, although ours are ranked together.
"""

import torch
from torch import Tensor, nn

from benchmarks.plain_dass import PlainMixedOp, PlainSupernet, enter_stage
from search.engine.schedule import Stage
from search.layers.patterns import top_k_mask
from search.layers.sparse import LayerMode, SparseLayer, sparse_layers
from search.space.genotype import NODES
from search.space.primitives import OPERATIONS
from search.supernet.architecture import edge_index
from search.supernet.cell import SupernetCell
from search.supernet.mixed_op import SKIP, MixedEdges
from search.supernet.supernet import Supernet


@torch.no_grad()
def copy_supernet(ours: Supernet, plain: PlainSupernet) -> None:
    """Make `plain` the same function as `ours`, in the same stage.

    Args:
        ours: of unstructured pattern: the straightforward one knows no other.
        plain: of the same size.
    """
    for name in ("stem", "stem_norm", "classifier"):
        _copy(ours.get_submodule(name), plain.get_submodule(name))
    for cell, twin in zip(ours.cells, plain.cells, strict=True):
        assert isinstance(cell, SupernetCell)
        for name in ("preprocess0", "preprocess1"):
            _copy(cell.get_submodule(name), twin.get_submodule(name))
        for source, mixed in enumerate(cell.sources):
            assert isinstance(mixed, MixedEdges)
            for part, node in enumerate(range(NODES - mixed.num_edges, NODES)):
                edge = twin.get_submodule("edges")[edge_index(node, source)]  # type: ignore[index]
                _copy_edge(mixed, edge, part)
    enter_stage(plain, Stage(ours.stem.mode.value))


def _copy_edge(mixed: MixedEdges, edge: PlainMixedOp, part: int) -> None:
    def twin(name: str) -> nn.Module:
        return edge.operations[OPERATIONS.index(name)]

    for name, operation in mixed.grouped.items():
        _copy(operation, twin(name), part, mixed.num_edges)
    for name, pool in mixed.pools.items():
        _copy(pool, twin(name))
    _copy(mixed.skips[part % len(mixed.skips)], twin(SKIP))


def _copy(ours: nn.Module, plain: nn.Module, part: int = 0, parts: int = 1) -> None:
    """Copy what both have; of tensors of `parts` edges side by side the rows of one."""
    sources: dict[str, Tensor] = {**dict(ours.named_parameters()), **dict(ours.named_buffers())}
    for name, value in [*plain.named_parameters(), *plain.named_buffers()]:
        source = sources[name]
        value.copy_(source.chunk(parts)[part] if source.dim() else source)
    for path, layer in sparse_layers(ours).items():
        kept = int(_mask(layer).chunk(parts)[part].sum())
        plain.get_submodule(path).kept = kept  # type: ignore[assignment]


def _mask(layer: SparseLayer) -> Tensor:
    if layer.mode is LayerMode.SCORES:
        return top_k_mask(layer.score, layer.pattern, layer.density)
    return layer.mask if layer.mode is LayerMode.MASKED else torch.ones_like(layer.mask)
