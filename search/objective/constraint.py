"""The latency budget as a constraint: an augmented Lagrangian with dual ascent.

For the inequality g <= 0 with multiplier m and penalty p the term is
(max(0, m + p g)^2 - m^2) / (2 p), and after each step m becomes max(0, m + p g)
(Nocedal and Wright, Numerical Optimization, section 17.4). Unlike a fixed weight on the latency,
it needs no tuning per budget and is zero where the budget does not bind.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


def relative_violation(latency_ms: Tensor, budget_ms: float) -> Tensor:
    """Return latency / budget - 1: above 0 where the budget is exceeded."""
    return latency_ms / budget_ms - 1.0


@dataclass(kw_only=True)
class DualAscent:
    """State of one inequality constraint."""

    penalty: float
    multiplier: float = 0.0

    def term(self, violation: Tensor) -> Tensor:
        """Return what is added to the loss; its gradient is the next multiplier."""
        shifted = torch.clamp_min(self.multiplier + self.penalty * violation, 0.0)
        return (shifted.square() - self.multiplier**2) / (2.0 * self.penalty)

    def ascend(self, violation: float) -> None:
        """Move the multiplier by the violation that the present alphas leave."""
        self.multiplier = max(0.0, self.multiplier + self.penalty * violation)
