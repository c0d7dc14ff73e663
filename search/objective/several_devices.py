"""One latency term for several devices, each with a table and a budget of its own.

Latencies of different devices cannot be added up, but what share of its budget each takes can be
compared. The term is such a share times the budget of the first device, so that it is a latency in
milliseconds like that of one device. The largest share decides: every budget is to be met.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from search.objective.term import LatencyTerm

# How far below the largest share another may be and still have e^-1 of its weight in the gradient.
_SOFTNESS = 0.05


@dataclass(frozen=True, kw_only=True)
class DeviceTerm:
    """The latency on one device and what it may be.

    Raises:
        ValueError: the budget is not above 0.
    """

    latency: LatencyTerm
    budget_ms: float

    def __post_init__(self) -> None:
        if not self.budget_ms > 0.0:
            raise ValueError(f"devices: a budget must be above 0 ms, got {self.budget_ms}")


class SeveralDevices:
    """Latency of the exported network on several devices; used like that on one (`LatencyTerm`).

    Args:
        devices: at least one. `budget_ms`, the budget of the first, is what the term is held to.

    Raises:
        ValueError: there is no device.
    """

    def __init__(self, devices: Sequence[DeviceTerm]) -> None:
        if not devices:
            raise ValueError("devices: at least one is needed")
        self._devices = tuple(devices)
        self.budget_ms = devices[0].budget_ms

    def __call__(self, alphas: Sequence[Tensor], temperature: float) -> Tensor:
        """Return the expected latency in milliseconds; a scalar of float64.

        The largest share is a smooth one: at most _SOFTNESS times the logarithm of the number of
        devices above the true one, and with a single device equal to it.

        Args:
            alphas: the tables of the space.
            temperature: above 0; 1 is the mixture of the supernet, near 0 the derived network.
        """
        shares_D = torch.stack(
            [one.latency(alphas, temperature) / one.budget_ms for one in self._devices]
        )
        return self.budget_ms * _SOFTNESS * torch.logsumexp(shares_D / _SOFTNESS, dim=0)

    def derived_ms(self, alphas: Sequence[Tensor]) -> float:
        """Return the latency of the network that the alphas derive now, in milliseconds."""
        shares = (one.latency.derived_ms(alphas) / one.budget_ms for one in self._devices)
        return self.budget_ms * max(shares)
