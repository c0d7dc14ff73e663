"""From architecture parameters to a network of stages: the most probable one that uses a budget.

Rows of the tables are independent choices, so the probability of a network is the product of those
of its options. There are at most a few million networks in a skeleton, and their costs are sums, so
all of them are ranked. Of those that need FILLED of the budget to all of it the first one is the
answer, exactly; where there are none, of those that keep it.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from latency.estimate.estimator import Prediction
from search.engine.problem import AlphaTables, Fitted, PricedDevice
from search.finalize.fit_devices import all_within, joint_refusal, largest_share
from search.finalize.repair import FILLED, BudgetInfeasibleError
from search.space.stage_costs import NetworkGroup, StageCosts
from search.space.stage_extremes import smallest_stages
from search.space.stage_genotype import StageGenotype
from search.space.stage_networks import build_stages
from search.space.stage_skeleton import StageChoice, StageSkeleton

_ROUNDING = 1e-9  # relative: sums in another order

Floats = NDArray[np.float64]


def derive_stages(alphas: AlphaTables, skeleton: StageSkeleton) -> StageGenotype:
    """Return the most probable network, dense; of equal options the first.

    Raises:
        ValueError: a table is missing, is not finite or has another shape.
    """
    return skeleton.genotype(_most_probable(_log_probabilities(alphas, skeleton)))


def fit_stages(
    alphas: AlphaTables, skeleton: StageSkeleton, devices: Sequence[PricedDevice]
) -> Fitted[StageGenotype]:
    """Return the most probable network whose predicted interval ends in the last tenth of the budget.

    If there is none, it is the most probable one that ends before it. Of several devices, all budgets
    are kept, and the one counts that the network needs the largest share of.

    Args:
        alphas: the tables of the skeleton.
        skeleton: which networks there are.
        devices: at least one.

    Raises:
        BudgetInfeasibleError: no network of the skeleton is within every budget; it names the
            device that is furthest from it.
        ValueError: a table is missing, is not finite or has another shape.
    """
    scores = _log_probabilities(alphas, skeleton)
    first = _most_probable(scores)
    best = _log_probability(scores, first)
    shares = _Shares(skeleton, devices)
    for least_share in (FILLED, 0.0):
        for choice in _ranked(scores, shares, first, least_share):
            genotype = skeleton.genotype(choice)
            predictions = shares.predicted(genotype)
            used = largest_share(predictions, devices)
            if least_share <= used and all_within(predictions, devices):
                return Fitted(
                    genotype=genotype,
                    prediction=predictions[0],
                    repaired=choice != first,
                    facts={
                        "budget_used": used,
                        "log_probability_lost": best - _log_probability(scores, choice),
                    },
                    others=predictions[1:],
                )
    raise _refusal(shares, devices)


class _Shares:
    """What share of its budget every network needs on the device that needs the largest.

    Args:
        skeleton: which networks there are.
        devices: at least one.
    """

    def __init__(self, skeleton: StageSkeleton, devices: Sequence[PricedDevice]) -> None:
        self.skeleton, self._devices = skeleton, tuple(devices)
        self._costs = [StageCosts(one.estimator, skeleton) for one in devices]

    def groups(self) -> Iterator[tuple[NetworkGroup, Floats]]:
        """Yield all networks with lower bounds (N,) of their largest shares."""
        for of_devices in zip(*(costs.groups() for costs in self._costs), strict=True):
            shares = [
                group.high_ms / device.budget_ms
                for group, device in zip(of_devices, self._devices, strict=True)
            ]
            yield of_devices[0], np.max(shares, axis=0)

    def predicted(self, genotype: StageGenotype) -> tuple[Prediction, ...]:
        """Return the prediction of a network on each device."""
        graph = build_stages(genotype, self.skeleton.task)
        return tuple(one.estimator.predict(graph) for one in self._devices)

    def nearest(self) -> StageGenotype:
        """Return the network whose largest share is bounded lowest."""
        found = ((group, int(bounds.argmin()), bounds.min()) for group, bounds in self.groups())
        group, number, _ = min(found, key=lambda one: one[2])
        return self.skeleton.genotype(group.choice(number))


def _refusal(shares: _Shares, devices: Sequence[PricedDevice]) -> BudgetInfeasibleError:
    for one in devices:
        least_ms = smallest_stages(one.estimator, shares.skeleton)[1].high_ms
        if least_ms > one.budget_ms:
            return BudgetInfeasibleError(one.budget_ms, least_ms, one.device)
    return joint_refusal(shares.predicted(shares.nearest()), devices)


def _ranked(
    scores: Mapping[str, Floats], shares: _Shares, first: StageChoice, least_share: float
) -> Iterator[StageChoice]:
    """Yield the networks that may keep every budget and use that much, the most probable first."""
    yield first
    groups, found = [], []
    for index, (group, bounds) in enumerate(shares.groups()):
        groups.append(group)
        numbers = np.flatnonzero((bounds >= least_share) & (bounds <= 1.0 + _ROUNDING))
        ranks = _group_scores(scores, group)[numbers]
        found.append(np.stack([ranks, np.full(len(numbers), index), numbers], axis=1))
    ranked = np.concatenate(found)
    for row in np.argsort(-ranked[:, 0], kind="stable"):
        _, index, number = ranked[row]
        choice = groups[int(index)].choice(int(number))
        if choice != first:
            yield choice


def _group_scores(scores: Mapping[str, Floats], group: NetworkGroup) -> Floats:
    """Return the log probability of every network of a group."""
    stages = [
        (options[:, None] + depths[None, :]).ravel()
        for options, depths in zip(scores["options"], scores["depths"], strict=True)
    ]
    shared = scores["heads"][0, group.head] + sum(
        row[width] for row, width in zip(scores["widths"], group.widths, strict=True)
    )
    total: Floats = shared + reduce(np.add.outer, stages).ravel()
    return total


def _most_probable(scores: Mapping[str, Floats]) -> StageChoice:
    best = {name: tuple(table.argmax(axis=1).tolist()) for name, table in scores.items()}
    return StageChoice(**best)


def _log_probability(scores: Mapping[str, Floats], choice: StageChoice) -> float:
    return sum(
        float(table[row, column])
        for name, table in scores.items()
        for row, column in enumerate(getattr(choice, name))
    )


def _log_probabilities(alphas: AlphaTables, skeleton: StageSkeleton) -> dict[str, Floats]:
    """Return the logs of the softmaxes over the rows, table by table."""
    for name, shape in skeleton.tables.items():
        table = alphas.get(name)
        if table is None or table.shape != shape or not np.isfinite(table).all():
            raise ValueError(f"derive: the alphas {name!r} must be finite and {shape}")
    return {name: _log_softmax(alphas[name]) for name in skeleton.tables}


def _log_softmax(table: Floats) -> Floats:
    shifted = table - table.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
