"""One latency term for several devices, each with a table and a budget of its own.

Latencies of different devices cannot be added up, but what share of its budget each takes can be
compared. The term is such a share times the budget of the first device, so that it is a latency in
milliseconds like that of one device, and over that budget exactly if the devices are over theirs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from search.objective.latency_term import ExpectedLatency

# How far below the largest share another may be and still have e^-1 of its weight in the gradient.
_SOFTNESS = 0.05


class Combination(StrEnum):
    """What the shares of the devices become."""

    WORST = "worst"  # the largest: a network has to meet every budget
    SUM = "sum"  # their weighted mean: a device may be over its budget where others are below


@dataclass(frozen=True, kw_only=True)
class DeviceTerm:
    """The latency on one device and what it may be.

    Raises:
        ValueError: the budget or the weight is not above 0.
    """

    latency: ExpectedLatency
    budget_ms: float
    weight: float = 1.0  # in a sum, against the weights of the others

    def __post_init__(self) -> None:
        if not (self.budget_ms > 0.0 and self.weight > 0.0):
            raise ValueError(
                "devices: budget and weight must be above 0, "
                f"got {self.budget_ms} ms and {self.weight}"
            )


class SeveralDevices:
    """Latency of the exported network on several devices; used like `ExpectedLatency`.

    Args:
        devices: at least one. `budget_ms`, the budget of the first, is what the term is held to.
        combination: of their shares.

    Raises:
        ValueError: there is no device.
    """

    def __init__(
        self, devices: Sequence[DeviceTerm], combination: Combination = Combination.WORST
    ) -> None:
        if not devices:
            raise ValueError("devices: at least one is needed")
        self._devices, self._combination = tuple(devices), combination
        self.budget_ms = devices[0].budget_ms

    def __call__(self, alphas: Sequence[Tensor], temperature: float) -> Tensor:
        """Return the expected latency in milliseconds; a scalar of float64.

        The largest share is a smooth one: at most _SOFTNESS times the logarithm of the number of
        devices above the true one, and with a single device equal to it.

        Args:
            alphas: (14, 8) each, of the normal cells and of the reductions.
            temperature: above 0; 1 is the mixture of the supernet, near 0 the derived network.
        """
        shares_D = self._shares(lambda latency: latency(alphas, temperature))
        if self._combination is Combination.SUM:
            return self.budget_ms * self._mean(shares_D)
        return self.budget_ms * _SOFTNESS * torch.logsumexp(shares_D / _SOFTNESS, dim=0)

    def derived_ms(self, alphas: Sequence[Tensor]) -> float:
        """Return the latency of the network that the alphas derive now, in milliseconds."""
        shares_D = self._shares(
            lambda latency: torch.tensor(latency.derived_ms(alphas), dtype=torch.float64)
        )
        combined = self._mean(shares_D) if self._combination is Combination.SUM else shares_D.max()
        return float(self.budget_ms * combined)

    def _shares(self, latency_ms: Callable[[ExpectedLatency], Tensor]) -> Tensor:
        """Return (devices,): what part of its budget each device needs."""
        return torch.stack([latency_ms(one.latency) / one.budget_ms for one in self._devices])

    def _mean(self, shares_D: Tensor) -> Tensor:
        weights_D = torch.tensor([one.weight for one in self._devices], dtype=shares_D.dtype)
        return (weights_D * shares_D).sum() / weights_D.sum()
