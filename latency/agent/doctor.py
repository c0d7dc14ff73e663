"""Is this machine fit to measure? Facts, a verdict on each, and what to do where it is not."""

import os
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from latency.files import private_directory
from latency.measurement import Conditions
from latency.target import STOCK_LIBRARY, Target
from latency.units import NS_PER_US

LOAD_PER_CORE_LIMIT = 0.3  # share of the cores that may be busy with other things
NOISE_LIMIT = 0.10  # of (90th - 10th percentile) / median of a fixed computation
CLOCK_STEP_LIMIT_NS = 1_000
FREE_BYTES_WANTED = 256 << 20
NOISE_SAMPLES = 200
HOT_AT_REST_C = 70.0  # boards slow down from 80 C on, and measuring adds ten and more
OLDEST_RUNTIME = (1, 23)  # of ONNX Runtime: the floor of the agent's requirements
LIBRARY_MACHINES = ("x86_64", "aarch64")  # that the operator library is built for
STEADY_GOVERNORS = ("", "performance", "userspace")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One fact; `remedy` is empty where it is fine."""

    name: str
    value: str
    remedy: str = ""

    @property
    def is_ok(self) -> bool:
        """Return whether nothing needs to be done."""
        return not self.remedy


def examine(target: Target, conditions: Conditions, state_dir: Path) -> list[Finding]:
    """Return all findings about this machine; takes about a second."""
    return [
        check_cores(target.facts.cores, target.threads),
        check_governor(conditions.governor),
        check_load(conditions.load_average, target.facts.cores),
        check_temperature(conditions.temperature_c, conditions.throttled),
        check_runtime(target.runtime_version, target.execution_provider),
        check_library(target.operator_library, target.facts.machine),
        check_clock(clock_step_ns(time.perf_counter_ns)),
        check_noise(computation_times_ns(time.perf_counter_ns)),
        check_disk(private_directory(state_dir)),
    ]


def check_cores(cores: int, threads: int) -> Finding:
    """Judge whether the measuring threads have cores of their own."""
    value = f"{cores} usable, {threads} measured with"
    if threads > cores:
        return Finding(name="cores", value=value, remedy="join again with fewer --threads")
    return Finding(name="cores", value=value)


def check_governor(governor: str | None) -> Finding:
    """Judge the frequency governor; unknown is no fault, as on virtual machines."""
    if (governor or "") in STEADY_GOVERNORS:
        return Finding(name="governor", value=governor or "unknown")
    return Finding(
        name="governor",
        value=governor or "",
        remedy="the frequency changes with load; as root: cpupower frequency-set -g performance",
    )


def check_load(load_average: float | None, cores: int) -> Finding:
    """Judge the load of the last minute."""
    if load_average is None:
        return Finding(name="load", value="unknown")
    value = f"{load_average:.2f} over one minute"
    if load_average > LOAD_PER_CORE_LIMIT * cores:
        return Finding(name="load", value=value, remedy="stop other programs, then ask again")
    return Finding(name="load", value=value)


def check_temperature(celsius: float | None, throttled: int | None) -> Finding:
    """Judge the temperature at rest; unknown is no fault, as on virtual machines."""
    value = "unknown" if celsius is None else f"{celsius:.0f} C"
    if throttled:
        value += f", slowed down for heat {throttled} times since the start"
    if celsius is not None and celsius > HOT_AT_REST_C:
        return Finding(
            name="temperature",
            value=value,
            remedy="it will slow down while it measures: add a heat sink or a fan, or let it cool",
        )
    return Finding(name="temperature", value=value)


def check_runtime(version: str, provider: str) -> Finding:
    """Judge the version of ONNX Runtime."""
    value = f"{version} {provider}"
    oldest = ".".join(map(str, OLDEST_RUNTIME))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if len(numbers) == len(OLDEST_RUNTIME) and numbers < OLDEST_RUNTIME:
        remedy = f"pip install 'onnxruntime>={oldest}'"
        return Finding(name="ONNX Runtime", value=value, remedy=remedy)
    return Finding(name="ONNX Runtime", value=value)


def check_library(version: str, machine: str) -> Finding:
    """Judge whether sparse operators are executed as such, where they can be."""
    if version != STOCK_LIBRARY:
        return Finding(name="library", value=version)
    if machine not in LIBRARY_MACHINES:
        return Finding(name="library", value=f"none, and none is built for {machine}")
    return Finding(
        name="library",
        value="none: zeros save no time here",
        remedy=f"install the wheel for {machine}, or a C++ compiler and edgewright again",
    )


def clock_step_ns(clock_ns: Callable[[], int]) -> int:
    """Return the smallest difference above zero that the clock shows."""
    steps = []
    for _ in range(1_000):
        before = clock_ns()
        after = clock_ns()
        if after > before:
            steps.append(after - before)
    return min(steps, default=CLOCK_STEP_LIMIT_NS * 1_000)


def check_clock(step_ns: int) -> Finding:
    """Judge the resolution of the clock against operators of a few microseconds."""
    value = f"smallest step {step_ns} ns"
    if step_ns > CLOCK_STEP_LIMIT_NS:
        return Finding(name="clock", value=value, remedy="choose a finer clocksource in the kernel")
    return Finding(name="clock", value=value)


def computation_times_ns(clock_ns: Callable[[], int]) -> list[int]:
    """Return how long one fixed computation of about a millisecond takes, many times over."""
    values = np.linspace(0.0, 1.0, 1 << 16, dtype=np.float32)
    roots = np.empty_like(values)
    times = []
    for _ in range(NOISE_SAMPLES):
        before = clock_ns()
        for _ in range(32):
            np.sqrt(values, out=roots)  # one thread, unlike a matrix product
        times.append(clock_ns() - before)
    return times[NOISE_SAMPLES // 10 :]


def check_noise(times_ns: Sequence[int]) -> Finding:
    """Judge how much the same computation differs from time to time."""
    deciles = statistics.quantiles(times_ns, n=10)
    median = statistics.median(times_ns)
    noise = (deciles[-1] - deciles[0]) / median
    value = f"{noise:.1%} around {median / NS_PER_US:.0f} us"
    if noise > NOISE_LIMIT:
        return Finding(
            name="noise",
            value=value,
            remedy="other programs, a changing frequency or a shared core: measure when it is quiet",
        )
    return Finding(name="noise", value=value)


def check_disk(state_dir: Path) -> Finding:
    """Judge whether results can be kept until the server has them."""
    free = shutil.disk_usage(state_dir).free
    value = f"{free >> 20} MiB free in {state_dir}"
    if not os.access(state_dir, os.W_OK):
        return Finding(name="state", value=value, remedy="make the folder writable for this user")
    if free < FREE_BYTES_WANTED:
        return Finding(name="state", value=value, remedy="free some disk space")
    return Finding(name="state", value=value)


def check_server(server: str, *, healthy: bool) -> Finding:
    """Report whether the server answers."""
    if healthy:
        return Finding(name="server", value=f"{server} answers")
    return Finding(
        name="server", value=f"{server} does not answer", remedy="check address and network"
    )
