"""Bilinear resizing of a whole split."""

from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional as F

from search.data.dataset import RawSplit

_CHUNK = 4096  # images at a time, so that the floats of a large split need not fit at once


def resize_split(split: RawSplit, size: int) -> RawSplit:
    """Return the split with images of `size` pixels per side, smoothed where they get smaller."""
    if split.images.shape[-1] == size:
        return split
    parts = [
        F.interpolate(
            torch.from_numpy(split.images[start : start + _CHUNK]).float(),
            size=(size, size),
            mode="bilinear",
            align_corners=False,
            antialias=True,
        )
        .round()
        .clamp(0, 255)
        .to(torch.uint8)
        .numpy()
        for start in range(0, len(split.images), _CHUNK)
    ]
    return replace(split, images=np.concatenate(parts))
