"""LearntLatency: the latency term of latency-aware differentiable architecture search.

Xu et al., arXiv 2001.06392: a regressor learns the latency of random architectures from their encoded
edges, and its gradient steers the alphas. The paper times 100,000 architectures on the device. Here
the table answers for the device, in a moment and for as many as are wanted, and the regressor sees
nothing else of it. What is learnt on discrete networks is asked about mixtures of them. The network
that the alphas derive is still priced by the table: that is what has to keep the budget.

Shape suffixes: N networks, K kinds of cell (2), E edges (14), O operations (8).
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from search.objective.latency_regressor import RegressorRecipe, fit_regressor
from search.objective.latency_term import ExpectedLatency, expected_edges
from search.space.cell_encoding import encode_edges
from search.space.cell_variants import CellSize
from search.space.sampling import random_genotype

NETWORKS = 2000
# Labels without noise and many of them: next to no decay.
_RECIPE = RegressorRecipe(epochs=400, learning_rate=1e-2, weight_decay=1e-4)


class LearntLatency:
    """Used like the term that it learns.

    Args:
        exact: what is learnt.
        size: of the networks.
        networks: that are drawn to learn from, from light to heavy ones.
    """

    def __init__(self, exact: ExpectedLatency, size: CellSize, networks: int = NETWORKS) -> None:
        self._exact = exact
        edges_NKEO = drawn_edges(size, networks, seed=0)
        known_ms = exact.networks_ms(edges_NKEO)
        self._base_ms = known_ms.log().mean().exp()
        self.regressor = fit_regressor(
            edges_NKEO, self._base_ms.expand(networks), known_ms, _RECIPE
        )

    def __call__(self, alphas: Sequence[Tensor], temperature: float) -> Tensor:
        """Return the expected latency in milliseconds; a scalar of float64.

        Args:
            alphas: (14, 8) each, of the normal cells and of the reductions.
            temperature: above 0; 1 is the mixture of the supernet, near 0 the derived network.
        """
        edges = [expected_edges(table.double(), temperature) for table in alphas]
        return self.networks_ms(torch.stack(edges))

    def networks_ms(self, edges_NKEO: Tensor) -> Tensor:
        """Return what the regressor says of encoded networks (..., 2, 14, 8), in milliseconds."""
        found: Tensor = self._base_ms * self.regressor(edges_NKEO)
        return found

    def derived_ms(self, alphas: Sequence[Tensor]) -> float:
        """Return the latency of the network that the alphas derive now, by the table."""
        return self._exact.derived_ms(alphas)

    def prices_ms(self) -> Tensor:
        """Return what each operation of each edge adds, by the table; (2, 14, 8)."""
        return self._exact.prices_ms()


def drawn_edges(size: CellSize, count: int, seed: int) -> Tensor:
    """Return random networks as encoded edges, (N, 2, 14, 8), from light to heavy."""
    rng = np.random.default_rng(seed)
    drawn = [
        random_genotype(rng, size.channels, size.cells, weighted=float(share))
        for share in np.linspace(0.0, 1.0, count)
    ]
    return torch.from_numpy(encode_edges(drawn))
