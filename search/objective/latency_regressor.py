"""LatencyRegressor: a small network that learns latency from encoded architectures.

The multi-layer regressor of latency-aware differentiable architecture search (Xu et al., arXiv
2001.06392): edges of both cells in, latency out, differentiable in the edges. It learns the
logarithm of what a base misses. The base is the table's own prediction (a residual on top of
`CellCosts`), or one number for all networks, as in the paper, which then needs many more networks:
there are 2 x 14 x 8 inputs, and the table knows most of what they do.

It is trained on networks of one size that were measured whole. At the start it is the base itself.

Shape suffixes: N networks, K kinds of cell (2), E edges (14), O operations (8).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from search.space.cell_interactions import MIXED_EDGES
from search.space.primitives import OPERATIONS

MIN_NETWORKS = 10
_INPUTS = 2 * len(MIXED_EDGES) * len(OPERATIONS)
_HIDDEN = 32
_VALIDATED = 5  # one network in so many decides when to stop


@dataclass(frozen=True, kw_only=True)
class RegressorRecipe:
    """How long and how hard a regressor is trained."""

    epochs: int = 300  # full batch
    learning_rate: float = 3e-3
    weight_decay: float = 1e-1
    seed: int = 0


class LatencyRegressor(nn.Module):
    """Factor on a base latency, from encoded edges (..., 2, 14, 8) to (...)."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(_INPUTS, _HIDDEN), nn.SiLU(), nn.Linear(_HIDDEN, 1)
        ).double()
        first, last = self.layers[0], self.layers[2]
        assert isinstance(first, nn.Linear)
        assert isinstance(last, nn.Linear)
        bound = _INPUTS**-0.5
        nn.init.uniform_(first.weight, -bound, bound, generator=generator)
        nn.init.zeros_(first.bias)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, edges_NKEO: Tensor) -> Tensor:
        """Return the factor on the base."""
        found: Tensor = self.layers(edges_NKEO.flatten(start_dim=-3))
        return found.squeeze(-1).exp()


def fit_regressor(
    edges_NKEO: Tensor,
    base_ms: Tensor,
    measured_ms: Tensor,
    recipe: RegressorRecipe = RegressorRecipe(),
) -> LatencyRegressor:
    """Return a regressor whose factor times the base is near what was measured.

    Every fifth network is left out of the training and chooses the epoch, the start included: where
    nothing can be learnt the base stands.

    Args:
        edges_NKEO: float64, encoded networks of one size.
        base_ms: (N,) above 0, what the base says of each.
        measured_ms: (N,) above 0, what was measured.
        recipe: of the training.

    Raises:
        ValueError: fewer than MIN_NETWORKS, shapes that do not agree, or a latency not above 0.
    """
    _check(edges_NKEO, base_ms, measured_ms)
    generator = torch.Generator().manual_seed(recipe.seed)
    regressor = LatencyRegressor(generator)
    wanted = torch.log(measured_ms / base_ms)
    chosen = torch.arange(len(wanted)) % _VALIDATED == 0
    optimizer = torch.optim.AdamW(
        regressor.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    best, best_loss = _state(regressor), float(wanted[chosen].square().mean())
    for _ in range(recipe.epochs):
        loss = (regressor(edges_NKEO[~chosen]).log() - wanted[~chosen]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            missed = regressor(edges_NKEO[chosen]).log() - wanted[chosen]
        if (validated := float(missed.square().mean())) < best_loss:
            best, best_loss = _state(regressor), validated
    regressor.load_state_dict(best)
    return regressor.eval().requires_grad_(requires_grad=False)


def _state(regressor: LatencyRegressor) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in regressor.state_dict().items()}


def _check(edges_NKEO: Tensor, base_ms: Tensor, measured_ms: Tensor) -> None:
    count = len(measured_ms)
    shape = (count, 2, len(MIXED_EDGES), len(OPERATIONS))
    if count < MIN_NETWORKS:
        raise ValueError(f"regressor: at least {MIN_NETWORKS} networks are needed, got {count}")
    if edges_NKEO.shape != shape or base_ms.shape != (count,):
        raise ValueError(f"regressor: edges must be {shape} and the base ({count},)")
    for name, values in (("base", base_ms), ("measured", measured_ms)):
        if not bool((values > 0).all()) or not bool(values.isfinite().all()):
            raise ValueError(f"regressor: every {name} latency must be above 0")
