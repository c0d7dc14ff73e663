"""ADMM: weights are drawn towards a network that has the masks, and that towards the weights.

Boyd et al., "Distributed optimization and statistical learning via ADMM", chapter 9; for pruning Zhang
et al., arXiv 1804.03294, and for a latency budget the sparse networks whose densities a table decides.
Minimise loss(W) so that W is in S, the weights with the densities and patterns of the plan:

    W-step  some steps of the optimiser on loss(W) + rho / 2 |W - Z + U|^2
    Z-step  Z = the nearest weights to W + U that are in S
    dual    U = U + W - Z

The nearest ones keep the groups with the largest norms. The gradient of the added term is applied as a
step of its own behind that of the optimiser, so that momentum and clipping see the loss alone.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from latency.operator import SparsityPattern
from search.layers.patterns import top_k_mask
from search.layers.sparse import SparseLayer

# Strength of the added term: at a learning rate of 0.1 a step covers a tenth of the way to Z - U.
RHO = 1.0


class AlternatingDirections:
    """Z and U of every layer of one training."""

    def __init__(self) -> None:
        self._targets: dict[str, Tensor] = {}  # Z
        self._duals: dict[str, Tensor] = {}  # U

    @torch.no_grad()
    def project(self, layers: Mapping[str, SparseLayer]) -> None:
        """Take a Z-step and a step of the dual at the present densities and patterns.

        Args:
            layers: by path; their weights are not changed.
        """
        for path, layer in layers.items():
            if layer.pattern is SparsityPattern.DENSE:  # nothing draws at what may be anything
                continue
            shifted = layer.weight.detach().clone()
            if path in self._duals:
                shifted += self._duals[path].to(shifted.device)
            # The mean of the squares of a group ranks as its norm does.
            mask = top_k_mask(shifted.square(), layer.pattern, layer.density)
            self._targets[path] = shifted * mask
            self._duals[path] = shifted * ~mask

    @torch.no_grad()
    def pull(self, layers: Mapping[str, SparseLayer], rate: float) -> None:
        """Take a step along the added term.

        Args:
            layers: by path, the same as those of `project`; their weights are changed in place.
            rate: of the optimiser in this step.
        """
        share = min(1.0, rate * RHO)
        for path, target in self._targets.items():
            weight = layers[path].weight
            weight.lerp_((target - self._duals[path]).to(weight.device), share)

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Return what a checkpoint needs."""
        return {"targets": dict(self._targets), "duals": dict(self._duals)}

    def load_state_dict(self, state: dict[str, dict[str, Tensor]]) -> None:
        """Restore `state_dict`."""
        self._targets, self._duals = dict(state["targets"]), dict(state["duals"])
