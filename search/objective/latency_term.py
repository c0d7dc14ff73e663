"""Expected latency of the network that the architecture parameters stand for, differentiable.

It prices the network to be exported, from measured operators, never the supernet. A node keeps two
edges and an edge one operation, so edge e exists with operation o with probability r_e p_eo: p is a
softmax over operations, r comes from a softmax over the pairs of edges. `CellCosts` turns these
probabilities into a latency.

Both r and p have a temperature. As it goes to zero the expectation becomes the prediction of the
network that is derived, which is the one that has to keep the budget; `derived_ms` is that one.

Shape suffixes: E edges (14), O operations (8), P pairs of edges of one node.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from search.objective.latency_regressor import LatencyRegressor
from search.space.cell_costs import CellCosts
from search.space.cell_interactions import MIXED_EDGES
from search.space.primitives import OPERATIONS
from search.supernet.architecture import NONE, edge_slices


def operation_probabilities(alpha_EO: Tensor, temperature: float) -> Tensor:
    """Return (14, 8): per edge the softmax over all operations but `none`, which gets zero."""
    masked = alpha_EO.clone()
    masked[:, NONE] = -torch.inf
    return torch.softmax(masked / temperature, dim=1)


def edge_membership(alpha_EO: Tensor, temperature: float) -> Tensor:
    """Return (14,): the probability of each edge to be one of the two that its node keeps.

    Strength is that of the derivation: the log weight of the best operation that is not `none`.
    Pairs have the softmax of the sums of their strengths, so the edges of a node add up to two.
    """
    strength_E = _strengths(alpha_EO)
    parts = []
    for edges in edge_slices():
        strengths = strength_E[edges]
        pairs = torch.tensor(list(combinations(range(len(strengths)), 2)))
        chance_P = torch.softmax(strengths[pairs].sum(dim=1) / temperature, dim=0)
        parts.append(torch.zeros_like(strengths).index_add(0, pairs.flatten(), _twice(chance_P)))
    return torch.cat(parts)


def expected_edges(alpha_EO: Tensor, temperature: float) -> Tensor:
    """Return (14, 8): the probability that an edge exists with an operation."""
    membership_E = edge_membership(alpha_EO, temperature)
    return membership_E[:, None] * operation_probabilities(alpha_EO, temperature)


def derived_edges(alpha_EO: Tensor) -> Tensor:
    """Return (14, 8): 1 for the edges and operations that are derived, else 0.

    Of equal edges the one from the earlier state is kept, as `derive_genotype` does.
    """
    strength_E = _strengths(alpha_EO)
    masked = alpha_EO.detach().clone()
    masked[:, NONE] = -torch.inf
    derived = torch.zeros_like(masked)
    for edges in edge_slices():
        order = torch.sort(strength_E[edges], descending=True, stable=True).indices
        kept = order[:2] + edges.start
        derived[kept, masked[kept].argmax(dim=1)] = 1.0
    return derived


class ExpectedLatency:
    """Latency of the exported network under given alphas, in its fastest regime.

    Args:
        costs: of every operation on every edge, on one target.
        upper: take the upper end of the prediction's 90 % interval instead of the prediction.
        regressor: a factor that was learnt from measured networks of this size.
    """

    def __init__(
        self,
        costs: CellCosts,
        *,
        upper: bool = False,
        regressor: LatencyRegressor | None = None,
    ) -> None:
        self._costs, self._upper, self._regressor = costs, upper, regressor

    def __call__(self, alphas: Sequence[Tensor], temperature: float) -> Tensor:
        """Return the expected latency in milliseconds; a scalar of float64.

        Args:
            alphas: (14, 8) each, of the normal cells and of the reductions.
            temperature: above 0; 1 is the mixture of the supernet, near 0 the derived network.
        """
        edges = torch.stack([expected_edges(table.double(), temperature) for table in alphas])
        return self._latency_ms(edges)

    def derived_ms(self, alphas: Sequence[Tensor]) -> float:
        """Return the latency of the network that the alphas derive now, in milliseconds."""
        return float(
            self._latency_ms(torch.stack([derived_edges(table) for table in alphas]).double())
        )

    def networks_ms(self, edges_NKEO: Tensor) -> Tensor:
        """Return the latencies (N,) of N encoded networks, in milliseconds; float64."""
        found = torch.from_numpy(self._costs.latency_ms(edges_NKEO.numpy(), upper=self._upper))
        return found if self._regressor is None else found * self._regressor(edges_NKEO)

    def prices_ms(self) -> Tensor:
        """Return what each operation of each edge adds, (2, 14, 8), in milliseconds; float64.

        That is the slope of the latency where all alphas are equal.
        """
        even = torch.zeros(len(MIXED_EDGES), len(OPERATIONS), dtype=torch.float64)
        edges = torch.stack([expected_edges(even, 1.0)] * 2)
        _, slopes = self._costs.gradient(edges.numpy(), upper=self._upper)
        return torch.from_numpy(slopes).clamp_min(0.0)

    def _latency_ms(self, edges: Tensor) -> Tensor:
        found: Tensor = _Latency.apply(edges, self._costs, self._upper)  # type: ignore[no-untyped-call]
        return found if self._regressor is None else found * self._regressor(edges)


class _Latency(torch.autograd.Function):
    """CellCosts of one network as a function that torch can differentiate."""

    @staticmethod
    def forward(ctx: Any, edges: Tensor, costs: CellCosts, upper: bool) -> Tensor:  # noqa: FBT001
        encoded = edges.detach().numpy()
        if not ctx.needs_input_grad[0]:
            return torch.tensor(float(costs.latency_ms(encoded, upper=upper)), dtype=torch.float64)
        latency_ms, gradient = costs.gradient(encoded, upper=upper)
        ctx.gradient = torch.from_numpy(gradient)
        return torch.tensor(latency_ms, dtype=torch.float64)

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor, None, None]:
        return outputs[0] * ctx.gradient, None, None


def _strengths(alpha_EO: Tensor) -> Tensor:
    weights_EO = torch.log_softmax(alpha_EO, dim=1)
    candidates = [column for column in range(alpha_EO.shape[1]) if column != NONE]
    return weights_EO[:, candidates].amax(dim=1)


def _twice(chance_P: Tensor) -> Tensor:
    """Return the chance of each pair for its first and for its second edge."""
    return chance_P.repeat_interleave(2)
