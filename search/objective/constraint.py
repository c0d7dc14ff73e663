"""The latency budget as a constraint: an augmented Lagrangian with dual ascent.

With g = latency / budget - 1, multiplier m and penalty p, the loss gains a term whose gradient is
(m + p g) times that of g (Nocedal and Wright, Numerical Optimization, section 17.3), and after each
step m moves by `rate` times g. Unlike a fixed weight on the latency, it needs no tuning per budget.

A budget is also there to be used: to the alphas of a supernet cheap operations look better than they
are, and an inequality lets them drift there. So m + p g may become negative, down to `pull`, which
asks for dearer operations as long as the budget has room (LightNAS, arXiv 2208.14446, has an
equality). With a pull of 0 it is the inequality g <= 0.
"""

from dataclasses import dataclass

from torch import Tensor

_LARGEST_MOVE = (
    0.5  # of g: one that is far off must not wind up a multiplier that takes epochs to fall
)


def relative_violation(latency_ms: Tensor, budget_ms: float) -> Tensor:
    """Return latency / budget - 1: above 0 where the budget is exceeded."""
    return latency_ms / budget_ms - 1.0


@dataclass(kw_only=True)
class DualAscent:
    """State of one constraint."""

    penalty: float
    rate: float  # of the multiplier
    pull: float = 0.0  # how far below zero the pressure on the latency may be
    multiplier: float = 0.0

    def pressure(self, violation: float) -> float:
        """Return what the gradient of the violation is multiplied with."""
        return max(-self.pull, self.multiplier + self.penalty * violation)

    def term(self, violation: Tensor) -> Tensor:
        """Return what is added to the loss; its gradient is `pressure` times the violation's."""
        return self.pressure(float(violation.detach())) * violation

    def ascend(self, violation: float) -> None:
        """Move the multiplier by the violation that the present alphas leave."""
        move = min(_LARGEST_MOVE, max(-_LARGEST_MOVE, violation))
        self.multiplier = max(-self.pull, self.multiplier + self.rate * move)
