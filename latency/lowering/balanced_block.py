"""Balanced blocks: adjacent filters that read the same input channels, for stock runtimes.

Such a convolution is exactly a copy of the channels that each block reads, one list after the
other, and a convolution in which every block is a group.
"""

import numpy as np
import numpy.typing as npt

from latency.lowering.patterns import Mask
from latency.operator import OperatorSpec

Weight = npt.NDArray[np.float32]


def channels_read(weight: Weight, filters: int) -> Mask:
    """Return (blocks, in): which input channels each block of `filters` filters reads.

    Args:
        weight: (out, in, height, width); out is a multiple of `filters`.
        filters: adjacent filters of one block.
    """
    by_filter = weight.any(axis=(2, 3)).reshape(-1, filters, weight.shape[1])
    return np.asarray(by_filter.any(axis=1))


def gathered(weight: Weight, filters: int, kept: int) -> tuple[Weight, npt.NDArray[np.int64]]:
    """Return the weight of the grouped convolution (out, kept, h, w) and the channels to copy.

    A block that reads fewer than `kept` channels gets the first others, with zeros for weights.

    Raises:
        ValueError: a block reads more than `kept` channels.
    """
    read = channels_read(weight, filters)
    most = int(read.sum(axis=1).max())
    if most > kept:
        raise ValueError(
            f"lowering: a block of {filters} filters reads {most} channels, not {kept}"
        )
    # A stable sort puts the channels that are read first and leaves both parts in order.
    lists = np.sort(np.argsort(~read, axis=1, kind="stable")[:, :kept], axis=1)
    blocks = weight.reshape(len(lists), filters, *weight.shape[1:])
    columns = [block[:, chosen] for block, chosen in zip(blocks, lists, strict=True)]
    return np.concatenate(columns), lists.reshape(-1).astype(np.int64)


def random_balanced_mask(spec: OperatorSpec, rng: np.random.Generator) -> Mask:
    """Return a mask of the spec's weight in which each block reads random channels."""
    out_channels, in_channels, height, width = spec.weight_shape or ()
    blocks = out_channels // spec.block_filters
    read = np.zeros((blocks, in_channels), dtype=np.bool_)
    for row in read:
        row[rng.permutation(in_channels)[: spec.kept_channels]] = True
    by_filter = np.repeat(read, spec.block_filters, axis=0)[:, :, None, None]
    return np.broadcast_to(by_filter, (out_channels, in_channels, height, width)).copy()
