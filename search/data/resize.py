"""Bilinear resizing of a whole split."""

from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional as F

from search.data.dataset import RawSplit
from search.data.limits import check_memory

_CHUNK = 1 << 24  # pixels at a time: the floats of a whole split need not fit into memory


def resize_split(split: RawSplit, size: int) -> RawSplit:
    """Return the split with images of `size` pixels per side, smoothed where they get smaller.

    Raises:
        ValueError: they would not fit into memory.
    """
    count, channels, _, old = split.images.shape
    if old == size:
        return split
    check_memory(count, channels, size, split.where)
    step = max(1, _CHUNK // (channels * max(old, size) ** 2))
    parts = [
        F.interpolate(
            torch.from_numpy(split.images[start : start + step]).float(),
            size=(size, size),
            mode="bilinear",
            align_corners=False,
            antialias=True,
        )
        .round()
        .clamp(0, 255)
        .to(torch.uint8)
        .numpy()
        for start in range(0, count, step)
    ]
    return replace(split, images=np.concatenate(parts))
