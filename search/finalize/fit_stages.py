"""From architecture parameters to a network of stages: the most probable one within a budget.

Rows of the tables are independent choices, so the probability of a network is the product of those
of its options. There are at most a few million networks in a skeleton, and their costs are sums, so
all of them are ranked; the first one that keeps the budget is the answer, exactly.
"""

from collections.abc import Iterator, Mapping
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from search.engine.problem import AlphaTables, Fitted
from search.finalize.repair import BudgetInfeasibleError
from search.space.sparsity import PlannedEstimator
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
    alphas: AlphaTables, skeleton: StageSkeleton, estimator: PlannedEstimator, budget_ms: float
) -> Fitted[StageGenotype]:
    """Return the most probable network whose predicted interval ends within the budget.

    Args:
        alphas: the tables of the skeleton.
        skeleton: which networks there are.
        estimator: of the target.
        budget_ms: what the upper end of the predicted interval may be.

    Raises:
        BudgetInfeasibleError: no network of the skeleton is within the budget.
        ValueError: a table is missing, is not finite or has another shape.
    """
    scores = _log_probabilities(alphas, skeleton)
    first = _most_probable(scores)
    best = _log_probability(scores, first)
    for choice in _ranked(scores, StageCosts(estimator, skeleton), first, budget_ms):
        genotype = skeleton.genotype(choice)
        prediction = estimator.predict(build_stages(genotype, skeleton.task))
        if prediction.high_ms <= budget_ms:
            return Fitted(
                genotype=genotype,
                prediction=prediction,
                repaired=choice != first,
                facts={"log_probability_lost": best - _log_probability(scores, choice)},
            )
    smallest = smallest_stages(estimator, skeleton)[1]
    raise BudgetInfeasibleError(budget_ms, smallest.high_ms)


def _ranked(
    scores: Mapping[str, Floats], costs: StageCosts, first: StageChoice, budget_ms: float
) -> Iterator[StageChoice]:
    """Yield the networks that may keep the budget, the most probable first."""
    yield first
    groups = list(costs.groups())
    found = []
    for index, group in enumerate(groups):
        numbers = np.flatnonzero(group.high_ms <= budget_ms * (1.0 + _ROUNDING))
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
