"""Which measurements cannot be true, and why: judged by the receiver, before any table is made.

A device may be wrong about everything: its units, its clock, its work. Each measurement is judged
on its own, so that one bad row takes no other with it; a fault of a whole upload, such as times in
microseconds, makes every row of it implausible. Bounds are generous: they are for mistakes of
a factor of sixty and more, not for slow machines. A row whose single run is longer than a sample
tells less of its unit; it is doubted where most of its upload is. Lies within the bounds are the business of the
median over devices.

What counts as evidence: the samples themselves, how long a sample is asked to last, the reference
model beside it, the least and most time that its arithmetic can take on a processor with the
target's instruction sets, and the time that passed on the receiver's clock.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from latency.bounds import NOISE_NS, REFERENCE_MACS, TimeBounds, time_bounds
from latency.measurement import (
    LEAST_SAMPLES,
    SAMPLE_NS,
    ChainSamples,
    NetworkMeasurement,
    OperatorMeasurement,
    marginal_cost,
)
from latency.operator import OperatorSpec
from latency.target import Target
from latency.units import NS_PER_S

WITHDRAWN = "withdrawn"  # the reason of what was good until its device was found to be unfit

Identity = tuple[str, tuple[tuple[int, ...], ...]]  # of an operator, or "" of a network; its times

_SAMPLE_FACTOR = 10.0  # a sample lasted 0.25 to 1.6 times what it should on a noisy host
_REFERENCE_FACTOR = 4.0  # a noisy host showed 2.2 between its best and its worst
_LEAST_RUN_NS = 500.0  # a session run: the call alone takes longer
_SHORTER = 0.7  # by chance the long model may be faster, if its operators cost nothing
_MUCH_LARGER = 8.0  # than other measurements of one upload
_FEW = 4  # measurements: of fewer, most says nothing of the others
_WALL_SLACK_S = 2.0  # clocks are set, and a lease is written down a little after it is given


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the receiver of an upload knows besides it; None where it does not know."""

    target: Target
    asked: AbstractSet[OperatorSpec] | None = None
    wall_s: float | None = None  # within which all of it was measured
    reference_ns: float | None = None  # usual time of the reference model on this target
    withdrawn: Mapping[Identity, str] = field(default_factory=dict)  # of which device each was


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Why each measurement of an upload is implausible, in its order; empty where it is good."""

    operators: tuple[str, ...]
    networks: tuple[str, ...]


def judge(
    operators: Sequence[OperatorMeasurement],
    networks: Sequence[NetworkMeasurement],
    evidence: Evidence,
) -> Verdict:
    """Return what speaks against each measurement of one upload.

    A measurement that failed has no samples to judge. Graphs must be those that were asked for.
    """
    bounds = time_bounds(evidence.target)
    reasons = [_operator_reason(found, evidence, bounds) for found in operators]
    reasons += [_network_reason(found, evidence, bounds) for found in networks]
    if evidence.wall_s is not None:
        sampled = [_operator_ns(found) for found in operators] + [_network_ns(f) for f in networks]
        sampled = [0.0 if reason else ns for ns, reason in zip(sampled, reasons, strict=True)]
        allowed_s = evidence.wall_s + _WALL_SLACK_S
        for index in _too_much(sampled, allowed_s * NS_PER_S):
            reasons[index] = reasons[index] or (
                f"the times of this upload add up to more than the {allowed_s:.0f} s that it took"
            )
    if 2 * sum(map(bool, reasons)) > len(reasons) >= _FEW:
        reasons = [reason or "most of this upload cannot be true" for reason in reasons]
    if evidence.withdrawn:
        measured: list[OperatorMeasurement | NetworkMeasurement] = [*operators, *networks]
        reasons = [
            _withdrawn_reason(found, evidence.withdrawn) or reason
            for found, reason in zip(measured, reasons, strict=True)
        ]
    return Verdict(
        operators=tuple(reasons[: len(operators)]), networks=tuple(reasons[len(operators) :])
    )


def identity_of(measured: OperatorMeasurement | NetworkMeasurement) -> Identity:
    """Return what is the same wherever a measurement comes from, whatever is written beside it."""
    if isinstance(measured, NetworkMeasurement):
        return "", measured.processes_ns
    samples = measured.samples
    return measured.spec.key, () if samples is None else (samples.short_ns, samples.long_ns)


def _withdrawn_reason(
    measured: OperatorMeasurement | NetworkMeasurement, withdrawn: Mapping[Identity, str]
) -> str:
    if measured.error or identity_of(measured) not in withdrawn:
        return ""
    device = withdrawn[identity_of(measured)]
    return f"{WITHDRAWN}: these are samples of {device}, whose measurements were withdrawn"


def _operator_reason(found: OperatorMeasurement, evidence: Evidence, bounds: TimeBounds) -> str:
    samples = found.samples
    if samples is None:
        return ""
    if evidence.asked is not None and found.spec not in evidence.asked:
        return "this operator was not asked for"
    if samples.copies < 1:
        return f"the long model has {samples.copies} operators more than the short one"
    return (
        _sample_reason([samples.short_ns, samples.long_ns], [samples.baseline_ns])
        or _length_reason(samples)
        or _reference_reason(samples.reference_ns, evidence, bounds)
        or _work_reason(found.spec, samples, bounds)
    )


def _network_reason(found: NetworkMeasurement, evidence: Evidence, bounds: TimeBounds) -> str:
    if found.error:
        return ""
    beside = [sample for process in found.reference_ns for sample in process]
    reason = _sample_reason(
        [tuple(sample for process in found.processes_ns for sample in process)]
    ) or _reference_reason(beside, evidence, bounds)
    if reason or found.graph is None:
        return reason
    low = sum(bounds.least_ns(spec) for spec in found.graph.operators)
    high = sum(bounds.most_ns(spec) for spec in found.graph.operators)
    return _bounds_reason("the network", found.median_ns, max(low, _LEAST_RUN_NS), high)


def _sample_reason(lists: Sequence[Sequence[float]], others: Sequence[float] = ()) -> str:
    """Return what is wrong with samples as mere numbers."""
    if not all(math.isfinite(value) for values in (*lists, others) for value in values):
        return "a time is not a finite number"
    if any(value <= 0 for values in lists for value in values):
        return "a time is zero or negative"
    fewest = min(len(values) for values in lists)
    if fewest < LEAST_SAMPLES or len({len(values) for values in lists}) > 1:
        return f"too few samples: {fewest}, and at least {LEAST_SAMPLES} are needed"
    if any(min(values) == max(values) for values in lists):
        return "all samples are identical: the clock stands still"
    return ""


def _length_reason(samples: ChainSamples) -> str:
    """Return what is wrong with how long the samples lasted, as they say of themselves."""
    for values, runs in (
        (samples.short_ns, samples.short_runs),
        (samples.long_ns, samples.long_runs),
    ):
        lasted = statistics.median(values) * runs
        is_short = 0 < lasted < SAMPLE_NS / _SAMPLE_FACTOR
        is_long = runs > 1 and lasted > SAMPLE_NS * _SAMPLE_FACTOR
        if is_short or is_long:
            return f"a sample lasted {lasted:.0f} ns instead of about {SAMPLE_NS}: wrong units?"
    return ""


def _reference_reason(reference_ns: Sequence[float], evidence: Evidence, bounds: TimeBounds) -> str:
    """Return what the reference model beside a measurement says against it."""
    if not reference_ns:
        return ""
    if not all(math.isfinite(value) and value > 0 for value in reference_ns):
        return "a time of the reference model is not a positive number"
    median = statistics.median(reference_ns)
    low, high = bounds.well_used_ns(REFERENCE_MACS)
    usual = evidence.reference_ns
    if usual is not None:
        low, high = max(low, usual / _REFERENCE_FACTOR), min(high, usual * _REFERENCE_FACTOR)
    return _bounds_reason("the reference model", median, low, high)


def _work_reason(spec: OperatorSpec, samples: ChainSamples, bounds: TimeBounds) -> str:
    """Return why these are no times of this operator."""
    short, long = statistics.median(samples.short_ns), statistics.median(samples.long_ns)
    if long < short * _SHORTER:
        return f"the long model took {long:.0f} ns, and the short one {short:.0f}"
    if samples.long_ns == samples.short_ns:
        return "the long model has the very samples of the short one"
    copies = samples.copies + 1
    least = max(_LEAST_RUN_NS, copies * bounds.least_ns(spec))
    reason = _bounds_reason(f"a run with {copies} of these operators", long, least, math.inf)
    # A slowdown that the device claims excuses nothing.
    cost = marginal_cost(replace(samples, fastest_reference_ns=0))
    # As little as a table may have: what it refuses must not become a row of one.
    reason = reason or _bounds_reason(
        "the operator", cost.median_ns, -cost.spread_ns - NOISE_NS, math.inf
    )
    surely = cost.median_ns - cost.spread_ns
    return reason or _bounds_reason("the operator", surely, -math.inf, bounds.most_ns(spec))


def _bounds_reason(what: str, taken_ns: float, low: float, high: float) -> str:
    if low <= taken_ns <= high:
        return ""
    limit = f"at least {low:.0f}" if taken_ns < low else f"at most {high:.0f}"
    return f"{what} took {taken_ns:.0f} ns, and {limit} are plausible here"


def _too_much(sampled_ns: Sequence[float], allowed_ns: float) -> Sequence[int]:
    """Return the measurements that cannot all have been taken within a time.

    Where a few are much larger than the others, which fit without them, only those; else all.
    """
    left = math.fsum(sampled_ns)
    by_size = sorted(range(len(sampled_ns)), key=lambda index: -sampled_ns[index])
    blamed = 0
    while left > allowed_ns and blamed < len(by_size):
        left -= sampled_ns[by_size[blamed]]
        blamed += 1
    others = [sampled_ns[index] for index in by_size[blamed:]]
    if not blamed or not others:
        return by_size[:blamed]
    is_clear = sampled_ns[by_size[blamed - 1]] > _MUCH_LARGER * statistics.median(others)
    return by_size[:blamed] if is_clear else by_size


def _operator_ns(found: OperatorMeasurement) -> float:
    """Return how long the kept samples of an operator lasted, at least."""
    samples = found.samples
    if samples is None:
        return 0.0
    short = sum(samples.short_ns) * max(1, samples.short_runs)
    return short + sum(samples.long_ns) * max(1, samples.long_runs)


def _network_ns(found: NetworkMeasurement) -> float:
    models = (
        found.processes_ns,
        found.reference_ns,
        found.dense_parent_ns,
        found.without_library_ns,
    )
    return sum(sum(samples) for processes in models for samples in processes)
