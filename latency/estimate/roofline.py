"""What an operator may cost on a device that nothing is known of but its instruction set.

A roofline: the longer of computing and moving data, after a fixed cost of a node. Right to within
a factor of about three, so prices that rest on it alone have intervals of that width.
"""

from latency.operator import OperatorSpec
from latency.target import DeviceFacts

_NODE_NS = 1_000.0  # on x86-64 small operators cost 0.4 to 2 us
_BYTES_PER_NS = 8.0  # of one core from its second-level cache, the lower end of what is common
_ELEMENT_BYTES = 4
_EFFICIENCY = 0.3  # of the peak; small layers of ours reach 0.1 to 0.6 on x86-64
# Multiply-adds per nanosecond of one core at 3 GHz, two vector units (one on small boards).
_PEAK = {"avx512f": 96.0, "avx2": 48.0, "avx": 24.0, "asimd": 12.0, "neon": 6.0}
_SCALAR_PEAK = 3.0


def roofline_ns(spec: OperatorSpec, facts: DeviceFacts) -> float:
    """Return the cost of one operator by its work and traffic, in nanoseconds; above zero."""
    peak = next((rate for name, rate in _PEAK.items() if name in facts.features), _SCALAR_PEAK)
    computing = spec.executed_macs / (peak * _EFFICIENCY)
    moving = spec.traffic_elements * _ELEMENT_BYTES / _BYTES_PER_NS
    return _NODE_NS + max(computing, moving)
