"""Good measurements pass, and every named fault is caught, on machines of many speeds."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from latency.bounds import REFERENCE_MACS, time_bounds
from latency.measurement import (
    SAMPLE_NS,
    ChainSamples,
    NetworkMeasurement,
    OperatorMeasurement,
)
from latency.operator import OperatorSpec
from latency.profiler.reference import reference_graph
from latency.quarantine import Evidence, Verdict, identity_of, judge
from latency.target import DeviceFacts, Target
from tests.latency import samples

SPECS = (*samples.one_of_each(), *samples.library_operators(), *samples.stock_forms())
UNITS = (1000.0, 1 / 1000.0, 60.0, 1 / 60.0)
COPIES = 8


@dataclass(frozen=True)
class Machine:
    """An honest device; the speeds are those of good code on it."""

    features: tuple[str, ...]
    macs_per_ns: float
    bytes_per_ns: float
    node_ns: float
    noise: float
    seed: int

    @property
    def target(self) -> Target:
        facts = DeviceFacts(machine="any", processor="any", cores=2, features=self.features)
        return Target(facts=facts, runtime_version="1")

    @property
    def reference_ns(self) -> float:
        return REFERENCE_MACS / self.macs_per_ns

    def cost_ns(self, spec: OperatorSpec) -> float:
        shape = 0.1 if spec.groups > 1 else 0.5
        moved = 4 * spec.traffic_elements / self.bytes_per_ns
        return self.node_ns + spec.executed_macs / (self.macs_per_ns * shape) + moved

    def measure(self, spec: OperatorSpec) -> OperatorMeasurement:
        rng = np.random.default_rng(self.seed)
        cost = self.cost_ns(spec)
        frame = 20 * self.node_ns + 9 * 4 * spec.traffic_elements / self.bytes_per_ns
        short, runs_short = self._sample(rng, frame + cost)
        long, runs_long = self._sample(rng, frame + (COPIES + 1) * cost)
        taken = ChainSamples(
            method="frame",
            copies=COPIES,
            short_ns=short,
            long_ns=long,
            reference_ns=self._sample(rng, self.reference_ns)[0],
            short_runs=runs_short,
            long_runs=runs_long,
        )
        return OperatorMeasurement(spec=spec, samples=taken)

    def measure_network(self) -> NetworkMeasurement:
        graph = samples.small_network()
        rng = np.random.default_rng(self.seed)
        latency = sum(self.cost_ns(spec) for spec in graph.operators) + 5_000
        return NetworkMeasurement(
            name="net",
            graph=graph,
            processes_ns=(self._sample(rng, latency)[0],) * 3,
            reference_ns=(self._sample(rng, self.reference_ns)[0],) * 3,
        )

    def _sample(self, rng: np.random.Generator, mean: float) -> tuple[tuple[int, ...], int]:
        runs = max(1, min(1_000, round(SAMPLE_NS / mean)))
        drawn = mean * (1 + np.abs(rng.normal(0, self.noise, 15)))
        disturbed = np.where(rng.random(15) < 0.05, 2.5, 1.0)
        return tuple(int(value) + index for index, value in enumerate(drawn * disturbed)), runs


def machines_of(features: tuple[str, ...], slow: float, fast: float) -> st.SearchStrategy[Machine]:
    return st.builds(
        Machine,
        features=st.just(features),
        macs_per_ns=st.floats(slow, fast),
        bytes_per_ns=st.floats(2.0, 50.0),
        node_ns=st.floats(400.0, 5_000.0),
        noise=st.floats(0.01, 0.2),
        seed=st.integers(0, 2**32 - 1),
    )


# From low-end boards to the fastest servers and desktops of today.
MACHINES = st.one_of(
    machines_of(("avx2", "avx512f", "fma"), 15.0, 120.0),
    machines_of(("avx2", "fma"), 5.0, 60.0),
    machines_of(("asimd",), 1.5, 50.0),
)


def upload(machine: Machine, count: int) -> list[OperatorMeasurement]:
    return [machine.measure(spec) for spec in SPECS[:: max(1, len(SPECS) // count)]]


def wall_s(measured: list[OperatorMeasurement]) -> float:
    """A tenth of a second for each operator, and what its samples need."""
    return sum(0.1 + 30 * 1e-9 * max(SAMPLE_NS, *m.samples.long_ns) for m in measured if m.samples)


def judged(
    machine: Machine, measured: list[OperatorMeasurement], **evidence: Any
) -> tuple[str, ...]:
    known = Evidence(target=machine.target, wall_s=wall_s(measured), **evidence)
    return judge(measured, [], known).operators


def known_reference(machine: Machine) -> float:
    return machine.reference_ns * 1.3


@settings(max_examples=60)
@given(MACHINES)
def test_good_measurements_pass(machine: Machine) -> None:
    measured = upload(machine, 40)
    for evidence in ({}, {"reference_ns": known_reference(machine)}):
        assert set(judged(machine, measured, **evidence)) == {""}
    bare = [
        replace(m, samples=replace(m.samples, reference_ns=(), short_runs=0, long_runs=0))
        for m in measured
        if m.samples is not None
    ]
    assert set(judged(machine, bare)) == {""}  # an agent that writes less down
    network = judge([], [machine.measure_network()], Evidence(target=machine.target, wall_s=1.0))
    assert network == Verdict(operators=(), networks=("",))


@settings(max_examples=40)
@given(MACHINES, st.sampled_from(UNITS))
def test_wrong_units_of_a_whole_upload_are_caught_in_every_row(
    machine: Machine, factor: float
) -> None:
    measured = [samples.scaled(found, factor) for found in upload(machine, 20)]
    assert all(judged(machine, measured))  # a first upload, of an unknown device
    assert all(judged(machine, measured, reference_ns=known_reference(machine)))


@settings(max_examples=40)
@given(MACHINES, st.sampled_from((*UNITS, 8.0, 1 / 8.0)))
def test_a_clock_of_wrong_rate_is_caught_where_the_target_is_known(
    machine: Machine, factor: float
) -> None:
    """The agent fills its samples by the same clock, so only the reference and the work tell."""
    wrong = [samples.scaled(found, factor) for found in upload(machine, 20)]
    filled = [
        replace(
            found,
            samples=replace(
                found.samples,
                short_runs=max(1, round(SAMPLE_NS / found.samples.short_ns[0])),
                long_runs=max(1, round(SAMPLE_NS / found.samples.long_ns[0])),
            ),
        )
        for found in wrong
        if found.samples is not None
    ]
    assert all(judged(machine, filled, reference_ns=machine.reference_ns))


@settings(max_examples=40)
@given(MACHINES, st.sampled_from(UNITS), st.integers(0, len(SPECS) - 1))
def test_one_bad_row_takes_no_other_with_it(machine: Machine, factor: float, bad: int) -> None:
    measured = [machine.measure(spec) for spec in SPECS]
    runs = measured[bad].samples
    # A single run that is longer than a sample may be as long as it says.
    assume(factor < 1.0 or (runs is not None and runs.short_runs > 1))
    measured[bad] = samples.scaled(measured[bad], factor)
    reasons = judge(measured, [], Evidence(target=machine.target, wall_s=5.0)).operators
    assert [index for index, reason in enumerate(reasons) if reason] == [bad]


def one(**changes: Any) -> OperatorMeasurement:
    machine = Machine(("avx2",), 30.0, 10.0, 1_000.0, 0.02, 1)
    measured = machine.measure(samples.conv(64, 64, 16, kernel=3, padding=1))
    assert measured.samples is not None
    return replace(measured, samples=replace(measured.samples, **changes))


TARGET = Machine(("avx2",), 30.0, 10.0, 1_000.0, 0.02, 1).target


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"short_ns": (math.nan,) * 15}, "not a finite number"),
        ({"long_ns": (math.inf,) * 15}, "not a finite number"),
        ({"baseline_ns": -math.inf}, "not a finite number"),
        ({"short_ns": (0,) * 15}, "zero or negative"),
        ({"long_ns": tuple(range(-5, 10))}, "zero or negative"),
        ({"short_ns": (9, 8, 7), "long_ns": (99, 98, 97)}, "too few samples: 3"),
        ({"short_ns": (), "long_ns": ()}, "too few samples: 0"),
        ({"short_ns": tuple(range(1, 9))}, "too few samples: 8"),  # and 15 of the other
        ({"short_ns": (500_000,) * 15}, "identical"),
        ({"copies": 0}, "the long model has 0 operators more"),
        ({"reference_ns": (0, 1, 2)}, "reference model is not a positive number"),
        ({"short_runs": 1_000_000}, "instead of about 250000"),
        ({"baseline_ns": 1e12}, "are plausible here"),
        ({"long_ns": tuple(range(1, 16)), "long_runs": 0}, "the short one"),
    ],
)
def test_each_fault_has_its_reason(changes: dict[str, Any], reason: str) -> None:
    (found,) = judge([one(**changes)], [], Evidence(target=TARGET)).operators
    assert reason in found
    assert judge([one()], [], Evidence(target=TARGET)).operators == ("",)


@pytest.mark.parametrize(
    ("longer", "reason"),
    [(1.0, "the very samples of the short one"), (0.9, "and at least -"), (0.9999, "")],
)
def test_no_cost_is_below_the_noise(longer: float, reason: str) -> None:
    """What a table file refuses as a row is in quarantine before it could become one."""
    short = one().samples
    assert short is not None
    long_ns = tuple(round(longer * ns) for ns in short.short_ns)
    measured = one(long_ns=long_ns, long_runs=short.short_runs)
    (found,) = judge([measured], [], Evidence(target=TARGET)).operators
    assert reason in found if reason else found == ""


def test_what_was_not_asked_for_and_what_failed() -> None:
    asked = Evidence(target=TARGET, asked=frozenset())
    assert judge([one()], [], asked).operators == ("this operator was not asked for",)
    failed = OperatorMeasurement(spec=samples.conv(4, 4), samples=None, error="crashed")
    broken = NetworkMeasurement(name="x", processes_ns=(), error="crashed")
    assert judge([failed], [broken], Evidence(target=TARGET)) == Verdict(
        operators=("",), networks=("",)
    )


def test_withdrawn_samples_are_known_again_whatever_is_written_beside_them() -> None:
    machine = Machine(("avx2",), 30.0, 10.0, 1_000.0, 0.02, 1)
    network = machine.measure_network()
    known = Evidence(
        target=TARGET, withdrawn={identity_of(one()): "pi", identity_of(network): "pi"}
    )
    renamed = replace(network, name="other", reference_ns=())
    other = machine.measure(samples.conv(16, 16))
    found = judge([one(reference_ns=(), short_runs=0), other], [renamed], known)
    reason = "withdrawn: these are samples of pi, whose measurements were withdrawn"
    assert found == Verdict(operators=(reason, ""), networks=(reason,))
    moved = replace(one(), spec=samples.conv(64, 64, 8, kernel=3, padding=1))
    assert "withdrawn" not in judge([moved], [], known).operators[0]


class TestWallTime:
    """Samples of 250 us, 15 of each size: 8 ms for each operator."""

    small = Machine(("avx2",), 30.0, 10.0, 1_000.0, 0.02, 1).measure(samples.conv(16, 16))

    def test_more_than_there_was_is_caught_in_every_row(self) -> None:
        measured = [self.small] * 400
        assert set(judge(measured, [], Evidence(target=TARGET, wall_s=10.0)).operators) == {""}
        reasons = judge(measured, [], Evidence(target=TARGET, wall_s=0.5)).operators
        assert all("add up to more than the 2 s" in reason for reason in reasons)

    def test_a_few_large_ones_are_blamed_alone(self) -> None:
        network = Machine(("avx2",), 30.0, 10.0, 1_000.0, 0.02, 1).measure_network()
        times = tuple(tuple(40_000_000 + step for step in range(200)) for _ in range(3))
        slow = replace(network, graph=None, processes_ns=times)  # 24 s
        verdict = judge(
            [self.small] * 10, [network, slow, network], Evidence(target=TARGET, wall_s=9)
        )
        assert set(verdict.operators) == {""}
        assert [bool(reason) for reason in verdict.networks] == [False, True, False]


@pytest.mark.parametrize("mutate", [
    lambda net: replace(net, processes_ns=((1_000, 1_001),)),
    lambda net: replace(net, processes_ns=((70_000,) * 9,)),
    lambda net: replace(net, processes_ns=(tuple(range(3, 12)),)),
    lambda net: replace(net, processes_ns=(tuple(range(10**10, 10**10 + 9)),)),
    lambda net: replace(net, reference_ns=((10**8, 10**8 + 1),)),
])  # fmt: skip
def test_networks_are_judged_too(
    mutate: Callable[[NetworkMeasurement], NetworkMeasurement],
) -> None:
    network = Machine(("avx2",), 30.0, 10.0, 1_000.0, 0.02, 1).measure_network()
    verdict = judge([], [network, mutate(network)], Evidence(target=TARGET))
    assert verdict.networks[0] == ""
    assert verdict.networks[1] != ""


def test_the_bounds_know_the_reference_model_and_the_widest_vectors() -> None:
    assert sum(spec.macs for spec in reference_graph().operators) == REFERENCE_MACS
    assert time_bounds(TARGET).fastest == 96.0
    two = time_bounds(replace(TARGET, threads=2))
    assert two.fastest == 192.0
    assert two.slowest < time_bounds(TARGET).slowest
