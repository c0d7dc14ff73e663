"""Moves of one space for several devices, each with a table and a budget of its own.

As in `search.objective.several_devices`, devices are compared by what share of its budget each needs,
and the largest share decides: it must not be above 1.
"""

from collections.abc import Sequence
from typing import Any, Generic

import numpy as np
import numpy.typing as npt

from search.space.moves import G, Moves


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
