"""Expected latency of the network that the architecture parameters stand for, differentiable.

It prices the network to be exported, from measured operators, never the supernet. A node takes
the two edges whose best operation is strongest, so each edge e counts with the relaxed membership
r_e in these two, and each operation o on it with its probability p_eo:

    latency = intercept + slope * (fixed + sum_e r_e sum_o p_eo price_eo)

Both r and p have a temperature. As it goes to zero the expectation becomes the price of the
network that is derived, which is the one that has to keep the budget.

Shape suffixes: E edges (14), O operations (8).
"""

import torch
from torch import Tensor

from latency.units import NS_PER_MS
from search.space.prices import OperationPrices
from search.supernet.architecture import NONE, edge_slices

_KEPT = 2  # edges that a node keeps


def operation_probabilities(alpha_EO: Tensor, temperature: float) -> Tensor:
    """Return (14, 8): per edge the softmax over all operations but `none`, which gets zero."""
    masked = alpha_EO.clone()
    masked[:, NONE] = -torch.inf
    return torch.softmax(masked / temperature, dim=1)


def edge_membership(alpha_EO: Tensor, temperature: float) -> Tensor:
    """Return (14,): how far each edge is one of the two that its node keeps; two per node.

    Strength is that of the derivation: the log weight of the best operation that is not `none`.
    An edge is in by the logistic function of its distance from the middle between the second and
    the third strongest; the node's edges are scaled to two.
    """
    weights_EO = torch.log_softmax(alpha_EO, dim=1)
    candidates = [column for column in range(alpha_EO.shape[1]) if column != NONE]
    strength_E = weights_EO[:, candidates].amax(dim=1)
    parts = []
    for edges in edge_slices():
        strengths = strength_E[edges]
        if len(strengths) == _KEPT:
            parts.append(torch.ones_like(strengths))
            continue
        ordered = strengths.topk(_KEPT + 1).values
        threshold = (ordered[_KEPT - 1] + ordered[_KEPT]) / 2
        inside = torch.sigmoid((strengths - threshold) / temperature)
        parts.append(inside * (_KEPT / inside.sum()))
    return torch.cat(parts)


class ExpectedLatency:
    """Latency of the exported network under given alphas.

    Args:
        prices: of every operation on every edge, on one target.
        margin: factor on the latency, 1 or more: the upper end of the prediction's interval.

    Raises:
        ValueError: the margin is below 1.
    """

    def __init__(self, prices: OperationPrices, *, margin: float = 1.0) -> None:
        if margin < 1.0:
            raise ValueError(f"latency term: margin must be at least 1, got {margin}")
        self._price_EO = [
            torch.as_tensor(table, dtype=torch.float32) for table in (prices.normal, prices.reduce)
        ]
        self._fixed_ns = prices.fixed_ns
        self._slope = prices.slope * margin / NS_PER_MS
        self._intercept_ms = prices.intercept_ns * margin / NS_PER_MS

    def __call__(self, normal_EO: Tensor, reduce_EO: Tensor, temperature: float) -> Tensor:
        """Return the expected latency in milliseconds; a scalar.

        Args:
            normal_EO: (14, 8) alphas of the normal cells.
            reduce_EO: the same for reductions.
            temperature: above 0; 1 is the mixture of the supernet, near 0 the derived network.
        """
        total_ns = torch.tensor(self._fixed_ns)
        for alpha_EO, price_EO in zip((normal_EO, reduce_EO), self._price_EO, strict=True):
            cost_E = (operation_probabilities(alpha_EO, temperature) * price_EO).sum(dim=1)
            total_ns = total_ns + (edge_membership(alpha_EO, temperature) * cost_E).sum()
        return self._intercept_ms + self._slope * total_ns
