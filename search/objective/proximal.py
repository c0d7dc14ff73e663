"""Proximal step of mixed paths: coefficients of operations that become exactly zero.

Wu et al., Neural Architecture Search as Sparse Supernet, arXiv 2007.16112: an edge is the sum of its
operations under real coefficients, and a sparse group lasso on them, updated by proximal steps level
by level, decides which operations survive. Here the levels are the operations and the edges:

    sum over operations of l1 |a| + sum over edges of l2 |a_e|,

whose proximal map is that of the first level followed by that of the second (Jenatton et al.,
arXiv 1009.2139: groups that form a tree). That l1 follows latency is ours.

Shape suffixes: E edges (14), O operations (8).
"""

import torch
from torch import Tensor


@torch.no_grad()
def shrink_paths(coefficient_EO: Tensor, l1_EO: Tensor, l2: float) -> Tensor:
    """Return the coefficients after the proximal map.

    Args:
        coefficient_EO: of any sign.
        l1_EO: what each is moved towards zero by, at least 0; it stops there.
        l2: what the length of all coefficients of an edge is then shortened by, at least 0.
    """
    moved_EO = coefficient_EO.sign() * (coefficient_EO.abs() - l1_EO).clamp_min(0.0)
    length_E1 = moved_EO.norm(dim=1, keepdim=True)
    tiny = torch.finfo(length_E1.dtype).tiny
    left_E1: Tensor = (1.0 - l2 / length_E1.clamp_min(tiny)).clamp_min(0.0)
    return moved_EO * left_E1
