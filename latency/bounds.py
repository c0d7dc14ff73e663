"""Least and most time that an operator can take on a target: a roofline with wide margins.

For telling mistakes from measurements, not for predictions. What a thread can do at most is the
width of its vectors, times the units that multiply, times a clock that no processor reaches. What
it does at least is what in-order cores with a low clock still do; measured on an x86-64 server,
AVX2, one thread: 0.1 to 44 multiply-adds and 2.5 to 52 bytes per ns.
"""

from dataclasses import dataclass

from latency.operator import OperatorSpec, SparsityPattern
from latency.target import Target

NOISE_NS = 1_000.0  # how far below zero a marginal cost within the noise may come out
REFERENCE_MACS = 2 * 32 * 32 * 9 * 16 * 16  # of the reference model of the profiler

# (feature, multiply-adds per ns and thread of a well-shaped convolution: at most, at least)
_SPEEDS = (
    ("avx512f", 192.0, 2.0),
    ("avx2", 96.0, 1.0),
    ("sse4_2", 48.0, 0.4),
    ("asimd", 96.0, 0.5),  # four units of four lanes in the fastest cores
    ("neon", 48.0, 0.2),
)
_UNKNOWN = (192.0, 0.1)
_FEWER_MULTIPLIES = 4.0  # what a Winograd form of a 3x3 convolution may save, rounded up
_MOST_BYTES_PER_NS = 1_000.0  # of a first-level cache
_ILL_SHAPED = 20.0  # a badly shaped operator is slower than a well-shaped one by at most this
_LEAST_BYTES = 0.1  # bytes per ns for each multiply-add per ns that the slowest machine does
_NODE_NS = 200_000.0  # what a node of the graph costs beside its work, at most
_CROWDED = 8.0  # several threads on busy cores may be slower than one
_ELEMENT_BYTES = {"float32": 4, "int8": 1}
_NARROW_MULTIPLIES = {"float32": 1.0, "int8": 16.0}  # matrix units do as many more at once


@dataclass(frozen=True, kw_only=True)
class TimeBounds:
    """Speeds that no honest measurement of a target leaves."""

    fastest: float  # multiply-adds per ns, all threads together
    slowest: float
    threads: int

    def well_used_ns(self, macs: int) -> tuple[float, float]:
        """Return the least and most time, in ns, of well-shaped convolutions."""
        return macs / self.fastest, macs / self.slowest

    def least_ns(self, spec: OperatorSpec) -> float:
        """Return the least time, in ns, that an operator can take."""
        fastest = self.fastest * _FEWER_MULTIPLIES * _NARROW_MULTIPLIES[spec.dtype]
        computed = spec.executed_macs / fastest
        if spec.pattern is not SparsityPattern.DENSE:
            return computed
        return max(computed, _bytes(spec) / (_MOST_BYTES_PER_NS * self.threads))

    def most_ns(self, spec: OperatorSpec) -> float:
        """Return the most time, in ns, that an operator can take, its overhead included."""
        moved = _bytes(spec) / (self.slowest * _LEAST_BYTES)
        return _NODE_NS + spec.macs * _ILL_SHAPED / self.slowest + moved


def _bytes(spec: OperatorSpec) -> int:
    return spec.traffic_elements * _ELEMENT_BYTES[spec.dtype]


def time_bounds(target: Target) -> TimeBounds:
    """Return the bounds of a target, by the widest instruction set that it names."""
    found = (speeds for name, *speeds in _SPEEDS if name in target.facts.features)
    most, least = next(found, _UNKNOWN)
    threads = max(1, target.threads)
    return TimeBounds(
        fastest=most * threads,
        slowest=least if threads == 1 else least / _CROWDED,
        threads=threads,
    )
