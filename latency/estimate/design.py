"""Which operators to measure next: those that tell most about the latency of networks.

Prices that rest on no row of their own are uncertain together: what is wrong with one is wrong
with its neighbours. So the variance of a network's latency is w' S w, with w the share of each
operator in it and S the relative covariance of their prices, and measuring one operator takes
(S w)^2 / S_ii away, and more where it tells of others. The greedy choice by that gain is that of
Bayesian experimental design for a linear quantity (Chaloner and Verdinelli, Statistical Science
1995).
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

ROW_ERROR = 0.003  # relative, of a row: what counts here is what is not measured


@dataclass(frozen=True, kw_only=True)
class Design:
    """What to measure, in order, and the relative standard error that is left after each."""

    chosen: tuple[int, ...]  # columns of the covariance
    errors: tuple[float, ...]  # of a typical network, root mean square: at first, after each choice


def choose_points(
    shares: Array,
    covariance: Array,
    candidates: npt.NDArray[np.bool_],
    *,
    limit: int,
    until: float = 0.0,
    worst: float = math.inf,
) -> Design:
    """Return which operators to measure until networks are known well enough, greedily.

    Args:
        shares: of each operator in the latency of each network, (networks, operators).
        covariance: relative, of the prices of operators, (operators, operators).
        candidates: which operators can be measured, (operators,).
        limit: most operators to choose.
        until: relative standard error of a typical network that is good enough.
        worst: ... of the network that is known least.
    """
    felt = shares @ covariance  # (networks, operators)
    own = np.diag(covariance).copy()  # variance of each price that is left
    told = np.zeros((min(limit, len(own)), len(own)))  # by each choice: S - told' told is left of S
    free = candidates.copy()
    chosen: list[int] = []
    variances = np.maximum((felt * shares).sum(axis=1), 0.0)
    errors = [math.sqrt(variances.mean())]
    while len(chosen) < limit and (errors[-1] > until or variances.max() > worst**2):
        asking = felt if errors[-1] > until else felt[variances > worst**2]
        known = np.maximum(own, 0.0) + ROW_ERROR**2
        asked = np.einsum("ij,ij->j", asking, asking) / len(asking)
        gain = np.where(free, asked / known, 0.0)
        best = int(np.argmax(gain))
        if gain[best] <= 0.0:
            break
        before = told[: len(chosen)]
        tells = (covariance[best] - before[:, best] @ before) / np.sqrt(known[best])
        felt -= np.outer(felt[:, best] / np.sqrt(known[best]), tells)
        own -= tells**2
        told[len(chosen)] = tells
        free[best] = False
        chosen.append(best)
        variances = np.maximum((felt * shares).sum(axis=1), 0.0)
        errors.append(math.sqrt(variances.mean()))
    return Design(chosen=tuple(chosen), errors=tuple(errors))
