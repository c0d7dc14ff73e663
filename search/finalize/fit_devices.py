"""One network of cells for several devices, each with a table and a budget of its own.

As in `search.objective.several_devices`, devices are compared by what share of its budget each needs,
and the largest share decides: it must not be above 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from latency.estimate.estimator import Prediction
from search.engine.problem import PricedDevice
from search.finalize.derive import Alphas
from search.finalize.repair import BudgetInfeasibleError, RepairPath
from search.finalize.widths import FittedNetwork
from search.space.dass_cells import build_graph
from search.space.extremes import cheapest_genotypes, smallest_genotype
from search.space.genotype import Genotype
from search.space.task import TaskShape

_ROUNDS = 20
_LEAST_SHRINK = 0.97  # of the guiding budget, so that each round has a chance to change something


@dataclass(frozen=True, kw_only=True)
class FittedToAll:
    """A network that is within every budget, with its prediction on each device in order."""

    network: FittedNetwork  # its prediction is that on the device that guided
    repaired: bool  # it is another than the derived one
    predictions: tuple[Prediction, ...]


def fit_to_budgets(
    derived: Genotype,
    alphas: dict[str, Alphas],
    task: TaskShape,
    devices: Sequence[PricedDevice],
) -> FittedToAll:
    """Return a network close to the alphas whose interval ends within the budget of every device.

    One device guides: the network is fitted to its budget, which shrinks until all others agree.
    That is the device that needs most of its budget for the derived network; where it cannot guide
    to an end, the others are asked in turn, and at last the networks that are cheapest on one of
    them are tried.

    Args:
        derived: the genotype that the alphas say.
        alphas: (14, 8) architecture parameters of `normal` and `reduce`.
        task: image and classes.
        devices: at least one.

    Raises:
        BudgetInfeasibleError: none of the networks that are cheapest on one of them is within every
            budget either; it names the device that is furthest from it.
    """
    paths = [RepairPath(derived, alphas, task, one.estimator) for one in devices]
    shares = shares_of(_predicted(derived, task, devices), devices)
    for index in sorted(range(len(devices)), key=lambda index: -shares[index]):
        found = _guided(paths[index], devices[index].budget_ms, task, devices)
        if found is not None:
            return found
    return _cheapest(derived, task, devices)


def shares_of(predictions: Sequence[Prediction], devices: Sequence[PricedDevice]) -> list[float]:
    """Return what share of its budget a network needs on each device, by its predictions."""
    pairs = zip(predictions, devices, strict=True)
    return [prediction.high_ms / one.budget_ms for prediction, one in pairs]


def largest_share(predictions: Sequence[Prediction], devices: Sequence[PricedDevice]) -> float:
    """Return the share of its budget that a network needs on the device where that is largest."""
    return max(shares_of(predictions, devices))


def _guided(
    path: RepairPath, budget_ms: float, task: TaskShape, devices: Sequence[PricedDevice]
) -> FittedToAll | None:
    """Return the first network of a path within all budgets as one of them shrinks, or None."""
    for _ in range(_ROUNDS):
        try:
            fitted, repaired = path.fit(budget_ms)
        except BudgetInfeasibleError:
            return None
        predictions = _predicted(fitted.genotype, task, devices)
        if all_within(predictions, devices):
            return FittedToAll(network=fitted, repaired=repaired, predictions=predictions)
        budget_ms *= min(1.0 / largest_share(predictions, devices), _LEAST_SHRINK)
    return None


def all_within(predictions: Sequence[Prediction], devices: Sequence[PricedDevice]) -> bool:
    """Return whether the interval of every prediction ends within the budget of its device."""
    pairs = zip(predictions, devices, strict=True)
    return all(prediction.high_ms <= one.budget_ms for prediction, one in pairs)


def _cheapest(derived: Genotype, task: TaskShape, devices: Sequence[PricedDevice]) -> FittedToAll:
    size = derived.channels, derived.cells
    for one in devices:
        high_ms = smallest_genotype(one.estimator, *size, task)[1].high_ms
        if high_ms > one.budget_ms:
            raise BudgetInfeasibleError(one.budget_ms, high_ms, one.device)
    cheapest = (cheapest_genotypes(one.estimator, *size, task) for one in devices)
    genotypes = dict.fromkeys(chain.from_iterable(cheapest))
    found = [(genotype, _predicted(genotype, task, devices)) for genotype in genotypes]
    genotype, predictions = min(
        found,
        # A share of 1 may be one of a network just over the budget, by rounding.
        key=lambda one: (not all_within(one[1], devices), largest_share(one[1], devices)),
    )
    if not all_within(predictions, devices):
        raise joint_refusal(predictions, devices)
    network = FittedNetwork(
        genotype=genotype, prediction=predictions[0], distortion=0.0, lower_bound=0.0
    )
    return FittedToAll(network=network, repaired=True, predictions=predictions)


def joint_refusal(
    predictions: Sequence[Prediction], devices: Sequence[PricedDevice]
) -> BudgetInfeasibleError:
    """Return the refusal of budgets that can only be met one by one; it names the furthest off.

    Args:
        predictions: of the network that comes nearest to all of them.
        devices: in the same order.
    """
    shares = shares_of(predictions, devices)
    worst = shares.index(max(shares))
    device = devices[worst]
    return BudgetInfeasibleError(
        device.budget_ms, predictions[worst].high_ms, device.device, jointly=len(devices) > 1
    )


def _predicted(
    genotype: Genotype, task: TaskShape, devices: Sequence[PricedDevice]
) -> tuple[Prediction, ...]:
    graph = build_graph(genotype, task)
    return tuple(one.estimator.predict(graph) for one in devices)
