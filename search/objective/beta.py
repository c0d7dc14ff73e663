"""Beta regularisation: keeps the architecture parameters from running ahead of the weights.

Ye et al., Beta-DARTS, arXiv 2203.01665, equation 15: the mean over the edges of the log of the sum
of the exponentials of the alphas. It lowers the largest alphas most, which counters the pull
towards skips, whose output is useful before any weight has learnt.
"""

import torch
from torch import Tensor


def beta_regulariser(tables: list[Tensor]) -> Tensor:
    """Return the mean log-sum-exp over the edges of all tables of alphas (14, 8); a scalar."""
    return torch.cat([torch.logsumexp(table_EO, dim=1) for table_EO in tables]).mean()
