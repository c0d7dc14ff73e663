"""One network for several devices, each with a table and a budget of its own.

As in `search.objective.several_devices`, devices are compared by what share of its budget each needs,
and the largest share decides: it must not be above 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np
import numpy.typing as npt

from latency.estimate.estimator import Prediction
from search.finalize.derive import Alphas
from search.finalize.repair import BudgetInfeasibleError, RepairPath
from search.space.dass_cells import build_graph
from search.space.extremes import smallest_genotype
from search.space.genotype import Genotype
from search.space.moves import G, Moves
from search.space.sparsity import PlannedEstimator
from search.space.task import TaskShape

_ROUNDS = 20
_LEAST_SHRINK = 0.97  # of the guiding budget, so that each round has a chance to change something


@dataclass(frozen=True, kw_only=True)
class DeviceBudget:
    """Prices of a device, and what the upper end of the interval may be there."""

    estimator: PlannedEstimator
    budget_ms: float


@dataclass(frozen=True, kw_only=True)
class FittedToAll:
    """A network that is within every budget, with its prediction on each device in order."""

    genotype: Genotype
    predictions: tuple[Prediction, ...]


def fit_to_budgets(
    derived: Genotype,
    alphas: dict[str, Alphas],
    task: TaskShape,
    devices: Sequence[DeviceBudget],
) -> FittedToAll:
    """Return a network close to the alphas whose interval ends within the budget of every device.

    One device guides: the network is fitted to its budget, which shrinks until all others agree.
    That is the device that needs most of its budget for the derived network; where it cannot guide
    to an end, the others are asked in turn, and at last the cheapest network is taken.

    Args:
        derived: the genotype that the alphas say.
        alphas: (14, 8) architecture parameters of `normal` and `reduce`.
        task: image and classes.
        devices: at least one.

    Raises:
        BudgetInfeasibleError: not even the network that is cheapest on all of them together is
            within every budget; it names the device that is furthest from it.
    """
    paths = [RepairPath(derived, alphas, task, one.estimator) for one in devices]
    start = _predicted(derived, task, devices)
    shares = _shares(start, devices)
    for index in sorted(range(len(devices)), key=lambda index: -shares[index]):
        found = _guided(paths[index], devices[index].budget_ms, task, devices)
        if found is not None:
            return found
    return _cheapest(derived, task, devices)


class WorstCaseMoves(Generic[G]):
    """Moves of one space for several devices; latencies are on the scale of the first budget.

    So a budget of `budgets_ms[0]` is kept exactly by what keeps every budget.

    Args:
        devices: the moves of the same space with the table of each device.
        budgets_ms: of the devices.

    Raises:
        ValueError: there is no device, or not one budget above 0 for each.
    """

    def __init__(self, devices: Sequence[Moves[G]], budgets_ms: Sequence[float]) -> None:
        if not devices or len(devices) != len(budgets_ms) or min(budgets_ms) <= 0.0:
            raise ValueError(
                f"devices: {len(devices)} need as many budgets above 0 ms, got {list(budgets_ms)}"
            )
        self._devices, self._budgets_ms = tuple(devices), tuple(budgets_ms)

    def smallest(self) -> G:
        """Return the genotype that is best for the worst device, of those cheapest on one."""
        each = [device.smallest() for device in self._devices]
        return each[int(np.argmin(self.latency_ms(each)))]

    def random(self, rng: np.random.Generator) -> G:
        """Return a genotype drawn at random, cheap ones as often as expensive ones."""
        return self._devices[0].random(rng)

    def mutated(self, genotype: G, rng: np.random.Generator) -> G:
        """Return a genotype that differs from this one in one place."""
        return self._devices[0].mutated(genotype, rng)

    def crossed(self, one: G, other: G, rng: np.random.Generator) -> G:
        """Return a genotype each part of which is from one of two."""
        return self._devices[0].crossed(one, other, rng)

    def latency_ms(self, genotypes: Sequence[G]) -> npt.NDArray[np.float64]:
        """Return (N,): the largest share that a device needs of its budget, times the first."""
        shares = [
            device.latency_ms(genotypes) / budget_ms
            for device, budget_ms in zip(self._devices, self._budgets_ms, strict=True)
        ]
        worst: npt.NDArray[np.float64] = self._budgets_ms[0] * np.max(shares, axis=0)
        return worst

    def to_dict(self, genotype: G) -> dict[str, Any]:
        """Return plain JSON values."""
        return self._devices[0].to_dict(genotype)

    def from_dict(self, values: dict[str, Any]) -> G:
        """Build from plain JSON values; ValueError says what is wrong."""
        return self._devices[0].from_dict(values)


def _guided(
    path: RepairPath, budget_ms: float, task: TaskShape, devices: Sequence[DeviceBudget]
) -> FittedToAll | None:
    """Return the first network of a path within all budgets as one of them shrinks, or None."""
    for _ in range(_ROUNDS):
        try:
            fitted, _ = path.fit(budget_ms)
        except BudgetInfeasibleError:
            return None
        predictions = _predicted(fitted.genotype, task, devices)
        worst = max(_shares(predictions, devices))
        if worst <= 1.0:
            return FittedToAll(genotype=fitted.genotype, predictions=predictions)
        budget_ms *= min(1.0 / worst, _LEAST_SHRINK)
    return None


def _cheapest(derived: Genotype, task: TaskShape, devices: Sequence[DeviceBudget]) -> FittedToAll:
    each = [
        smallest_genotype(one.estimator, derived.channels, derived.cells, task)[0]
        for one in devices
    ]
    found = [(genotype, _predicted(genotype, task, devices)) for genotype in dict.fromkeys(each)]
    genotype, predictions = min(found, key=lambda one: max(_shares(one[1], devices)))
    shares = _shares(predictions, devices)
    if max(shares) > 1.0:
        worst = shares.index(max(shares))
        raise BudgetInfeasibleError(devices[worst].budget_ms, predictions[worst].high_ms)
    return FittedToAll(genotype=genotype, predictions=predictions)


def _predicted(
    genotype: Genotype, task: TaskShape, devices: Sequence[DeviceBudget]
) -> tuple[Prediction, ...]:
    graph = build_graph(genotype, task)
    return tuple(one.estimator.predict(graph) for one in devices)


def _shares(predictions: Sequence[Prediction], devices: Sequence[DeviceBudget]) -> list[float]:
    """Return what share of its budget each device needs."""
    pairs = zip(predictions, devices, strict=True)
    return [prediction.high_ms / one.budget_ms for prediction, one in pairs]
