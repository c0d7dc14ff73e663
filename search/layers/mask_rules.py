"""Mask rules that act on the weights themselves, after each step of their optimiser.

Those here know nothing but the weights; `search.layers.admm` remembers.

Under both rules all weights stay in use while the density of their layer falls, so one that was about
to leave can come back; the caller fixes the masks by magnitude at the end.

Soft (Zhang et al., iterative soft shrinkage, arXiv 2303.09650): the groups that a mask would remove
are multiplied by a factor just below 1. With a factor of 0 it is the hard rule.

Envelope (Refael et al., weighted group sparse envelope, arXiv 2212.12921): a proximal step of the
convex envelope of half the squared norm over weights with at most so many groups that are not zero,

    R(w) = min over u in [0, 1]^G with sum c_g u_g <= level of the sum of |w_g|^2 / (2 u_g).

For a step t the inner minimum is w_g = v_g u_g / (u_g + t), which leaves u_g = clip(s_g m - t, 0, 1)
with s_g = |v_g| / sqrt(c_g) and one multiplier m for all groups: weak groups become exactly zero. A
group costs what it has weights; the level is what the density keeps of the layer.

Shape suffix: G groups.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from search.layers.patterns import expand_groups, group_scores, group_sizes, top_k_groups
from search.layers.sparse import SparseLayer
from search.space.sparsity import MaskRule

# As the scripts of iterative soft shrinkage have it. Its default of 0.99 needs thousands of steps.
SHRINK = 0.95
# Strength of the envelope for each unit of the learning rate: groups that count whole decay by it, as by
# weight decay, and those that count half decay twice as fast.
ENVELOPE = 0.1


@torch.no_grad()
def apply_mask_rule(layers: Iterable[SparseLayer], rule: MaskRule, rate: float) -> None:
    """Change the weights of layers as a rule says; their densities and patterns decide which.

    Args:
        layers: whose weights are changed in place. The hard rule changes none.
        rule: one of MaskRule.
        rate: of the optimiser in this step.

    Raises:
        ValueError: the rule is ADMM.
    """
    if rule is MaskRule.ADMM:
        raise ValueError(
            "mask rule: 'admm' needs what it remembers; it is for the final training only"
        )
    for layer in layers:
        if rule is MaskRule.SOFT:
            shrink_weights(layer, SHRINK)
        elif rule is MaskRule.ENVELOPE:
            envelope_step(layer, rate * ENVELOPE)


@torch.no_grad()
def shrink_weights(layer: SparseLayer, factor: float) -> None:
    """Multiply the groups that the density of a layer does not keep by `factor`, from 0 to 1."""
    groups = group_scores(layer.weight, layer.pattern)
    kept = top_k_groups(groups, layer.density).to(groups.dtype)
    _scale(layer, kept + factor * (1.0 - kept))


@torch.no_grad()
def envelope_step(layer: SparseLayer, step: float) -> None:
    """Take the proximal step of the envelope whose level is the density of a layer."""
    squares = group_scores(layer.weight.square(), layer.pattern)  # the mean of each group
    sizes = group_sizes(layer.weight.shape, layer.pattern).to(squares.device)
    level = layer.density * layer.weight.numel()
    shares = envelope_shares(squares.sqrt().flatten(), sizes.flatten(), level, step)
    _scale(layer, (shares / (shares + step)).view_as(squares).to(squares.dtype))


def envelope_shares(strength_G: Tensor, cost_G: Tensor, level: float, step: float) -> Tensor:
    """Return u of the proximal step, float64: how much of each group the envelope counts.

    Args:
        strength_G: norm of each group over the root of its cost.
        cost_G: above 0.
        level: what the groups may cost together. Where all that are not zero cost less, each
            counts whole.
        step: of the proximal step, above 0.

    Raises:
        ValueError: level or step is not above 0.
    """
    if level <= 0.0 or step <= 0.0:
        raise ValueError(f"envelope: level and step must be above 0, got {level:g} and {step:g}")
    strengths, costs = strength_G.double(), cost_G.double()
    alive = strengths > 0.0
    if float(costs[alive].sum()) <= level:
        return alive.double()
    multiplier = _multiplier(strengths[alive], costs[alive], level, step)
    return (strengths * multiplier - step).clamp(0.0, 1.0)


def _multiplier(strength_G: Tensor, cost_G: Tensor, level: float, step: float) -> Tensor:
    """Return m at which the sum of c_g clip(s_g m - t, 0, 1) is the level: it is linear in pieces."""
    begins, ends = step / strength_G, (1.0 + step) / strength_G
    slopes = cost_G * strength_G
    corners, order = torch.cat([begins, ends]).sort()
    slope_behind = torch.cat([slopes, -slopes])[order].cumsum(0)
    rise = slope_behind[:-1] * corners.diff()
    reached = torch.cat([rise.new_zeros(1), rise.cumsum(0)])
    corner = int((reached < level).sum()) - 1  # the last one below the level
    return corners[corner] + (level - reached[corner]) / slope_behind[corner]


def _scale(layer: SparseLayer, factors: Tensor) -> None:
    layer.weight.mul_(expand_groups(factors, layer.weight.shape, layer.pattern))
