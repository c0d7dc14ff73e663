"""Expected latency of the network of stages that the architecture parameters stand for.

It prices the network to be exported, from measured operators, never the supernet. Every row of
every table of alphas is an independent choice (a softmax with a temperature), so the expectation of
each sum over operators is a sum of products of probabilities with `StageCosts`. As the temperature
goes to zero it becomes the prediction of the network that is derived.

Shape suffixes: S stages, O block options, D depths, L levels, W widths of a level, H heads, I widths
of a stage's input; K is 2: nanoseconds, and the squares of their spreads.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from latency.estimate.calibrated import unexplained
from latency.table import Calibration
from latency.units import NS_PER_MS
from search.space.stage_costs import RegimeCosts, StageCosts
from search.space.stage_skeleton import StagePlan


class StageLatency:
    """Latency of the exported network under given alphas, in its fastest regime.

    Args:
        costs: of every option of every stage, on one target.
        upper: take the upper end of the prediction's 90 % interval instead of the prediction; for
            networks whose stages share operators it comes out lower than the table's, by what their
            spreads have in common.
    """

    def __init__(self, costs: StageCosts, *, upper: bool = False) -> None:
        self._plans = costs.skeleton.stages
        self._regimes = [_RegimeTensors(regime) for regime in costs.regimes]
        self._upper = upper

    def __call__(self, alphas: Sequence[Tensor], temperature: float) -> Tensor:
        """Return the expected latency in milliseconds; a scalar of float64.

        Args:
            alphas: the tables in the order of `StageSkeleton.tables`.
            temperature: above 0; 1 is the mixture of the supernet, near 0 the derived network.
        """
        return self._latency_ms([torch.softmax(a.double() / temperature, dim=1) for a in alphas])

    def derived_ms(self, alphas: Sequence[Tensor]) -> float:
        """Return the latency of the network that the alphas derive now, in milliseconds."""
        chosen = [F.one_hot(a.detach().argmax(dim=1), a.shape[1]).double() for a in alphas]
        return float(self._latency_ms(chosen))

    def _latency_ms(self, mixtures: Sequence[Tensor]) -> Tensor:
        options_SO, depths_SD, widths_LW, heads_1H = mixtures
        pairs = [_width_pairs(index, self._plans, widths_LW) for index in range(len(self._plans))]
        latencies = []
        for regime in self._regimes:
            total_K = torch.einsum("whk,w,h->k", regime.ends_WHK, widths_LW[-1], heads_1H[0])
            for costs, pair_IW, *chosen in zip(
                regime.stages_IWODK, pairs, options_SO, depths_SD, strict=True
            ):
                total_K = total_K + torch.einsum("iwodk,iw,o,d->k", costs, pair_IW, *chosen)
            latencies.append(_calibrated(regime.calibration, total_K))
        # The regime is that of the prediction, also where the upper end is asked for.
        latency_ns, high_ns = min(latencies, key=lambda found: float(found[0].detach()))
        return (high_ns if self._upper else latency_ns) / NS_PER_MS


class _RegimeTensors:
    """RegimeCosts as tensors."""

    def __init__(self, costs: RegimeCosts) -> None:
        self.stages_IWODK = [torch.from_numpy(stage) for stage in costs.stages]
        self.ends_WHK = torch.from_numpy(costs.ends)
        self.calibration = costs.calibration


def _width_pairs(index: int, plans: Sequence[StagePlan], widths_LW: Tensor) -> Tensor:
    """Return the probability of each width of a stage together with that of its input."""
    own_W = widths_LW[plans[index].level]
    if index == 0:
        return own_W[None, :]
    if plans[index].continues:
        return torch.diag(own_W)
    return torch.outer(widths_LW[plans[index - 1].level], own_W)


def _calibrated(calibration: Calibration, total_K: Tensor) -> tuple[Tensor, Tensor]:
    """Return latency and the upper end of its interval, as `calibrated_ns` does."""
    latency = calibration.intercept_ns + calibration.slope * total_K[0]
    variance = calibration.slope**2 * total_K[1] + (unexplained(calibration) * latency).square()
    # The root of nothing has no gradient.
    return latency, latency + variance.clamp_min(torch.finfo(torch.float64).tiny).sqrt()
