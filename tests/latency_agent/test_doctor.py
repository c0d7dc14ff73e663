"""The doctor's verdicts."""

import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from latency.agent.doctor import (
    CLOCK_STEP_LIMIT_NS,
    HOT_AT_REST_C,
    NOISE_SAMPLES,
    Finding,
    check_clock,
    check_cores,
    check_governor,
    check_library,
    check_load,
    check_noise,
    check_runtime,
    check_server,
    check_temperature,
    clock_step_ns,
    computation_times_ns,
    examine,
)
from latency.target import STOCK_LIBRARY
from tests.latency_agent.samples import CONDITIONS, TARGET


@pytest.mark.parametrize(
    ("finding", "is_ok"),
    [
        (check_cores(2, 2), True),
        (check_cores(2, 3), False),
        (check_governor(None), True),
        (check_governor("performance"), True),
        (check_governor("powersave"), False),
        (check_load(None, 4), True),
        (check_load(1.0, 4), True),
        (check_load(1.3, 4), False),
        (check_temperature(None, None), True),
        (check_temperature(HOT_AT_REST_C, 12), True),
        (check_temperature(HOT_AT_REST_C + 1, None), False),
        (check_runtime("1.32.0", "CPUExecutionProvider"), True),
        (check_runtime("2.0", "CPUExecutionProvider"), True),
        (check_runtime("1.22.9", "CPUExecutionProvider"), False),
        (check_runtime("built here", "CPUExecutionProvider"), True),
        (check_library("1-abc", "aarch64"), True),
        (check_library(STOCK_LIBRARY, "armv7l"), True),
        (check_library(STOCK_LIBRARY, "aarch64"), False),
        (check_clock(40), True),
        (check_clock(CLOCK_STEP_LIMIT_NS + 1), False),
        (check_noise([100, 101] * 50), True),
        (check_noise([100, 101] * 40 + [150] * 20), False),
        (check_server("http://a", healthy=True), True),
        (check_server("http://a", healthy=False), False),
    ],
)
def test_a_verdict_comes_with_a_remedy_or_is_fine(finding: Finding, is_ok: bool) -> None:  # noqa: FBT001
    assert finding.is_ok is is_ok
    assert finding.value


@pytest.mark.parametrize(
    ("clock", "step"),
    [(lambda: 5, CLOCK_STEP_LIMIT_NS * 1_000), (count(step=7).__next__, 7)],
)
def test_the_step_of_a_clock_is_found(clock: Callable[[], int], step: int) -> None:
    assert clock_step_ns(clock) == step


def test_this_machine_is_examined(tmp_path: Path) -> None:
    times = computation_times_ns(time.perf_counter_ns)
    assert len(times) == NOISE_SAMPLES * 9 // 10
    assert min(times) > 0
    findings = examine(TARGET, CONDITIONS, tmp_path / "state")
    assert len({finding.name for finding in findings}) == len(findings) == 9
    assert (tmp_path / "state").is_dir()
