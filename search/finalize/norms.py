"""Which batch norm follows which convolutions of a FinalNetwork or a StageNetwork."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from search.layers.operations import FactorizedReduce
from search.layers.sparse import SparseConv2d

# Name of the norm behind a convolution of that name, in the same module.
NORM_BEHIND = {
    "conv": "norm",
    "pointwise": "norm",
    "pointwise1": "norm1",
    "pointwise2": "norm2",
    "conv1": "norm1",
    "conv2": "norm2",
    **{
        name: f"{name}_norm"
        for name in ("stem", "shortcut", "expand", "depthwise", "project", "head")
    },
}


@dataclass(frozen=True, kw_only=True)
class NormedConv:
    """A batch norm and the convolutions whose outputs, joined, it normalises."""

    path: str  # of the convolution, or of the factorized reduce with its two
    convs: tuple[SparseConv2d, ...]
    norm: nn.BatchNorm2d


def normed_convs(network: nn.Module) -> Iterator[NormedConv]:
    """Yield every batch norm of `network` with what it normalises."""
    for path, module in network.named_modules():
        children = dict(module.named_children())
        if isinstance(module, FactorizedReduce):
            yield NormedConv(path=path, convs=(module.conv1, module.conv2), norm=module.norm)
            continue
        for name, behind in NORM_BEHIND.items():
            conv, norm = children.get(name), children.get(behind)
            if isinstance(conv, SparseConv2d) and isinstance(norm, nn.BatchNorm2d):
                where = f"{path}.{name}" if path else name
                yield NormedConv(path=where, convs=(conv,), norm=norm)
