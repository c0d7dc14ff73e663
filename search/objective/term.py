"""LatencyTerm: what the search asks of the expected latency, of one device or of several."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class LatencyTerm(Protocol):
    """Latency of the network to be exported, as a function of the alphas."""

    def __call__(self, alphas: Sequence[Tensor], temperature: float) -> Tensor:
        """Return the expected latency in milliseconds, a differentiable scalar of float64."""
        ...

    def derived_ms(self, alphas: Sequence[Tensor]) -> float:
        """Return the latency of the network that the alphas derive now, in milliseconds."""
        ...
