"""Profiling without a server: plan file in, profile file out."""

from pathlib import Path

from latency.agent.measurer import Measurer
from latency.agent.spool import Measurement
from latency.agent.stop import StopSignal
from latency.exchange.profile_file import ProfileFile, write_profile
from latency.measurement import NetworkMeasurement, OperatorMeasurement
from latency.messages import ProfileWork


def measure_plan(work: ProfileWork, out: Path, measurer: Measurer, stop: StopSignal) -> ProfileFile:
    """Measure `work` and write the result to `out`; written whole or, when stopped, not at all.

    Raises:
        ValueError: the folder of `out` does not exist, or the measuring was stopped.
    """
    if not out.parent.is_dir():
        raise ValueError(f"{out}: the folder does not exist")
    target, conditions = measurer.target(), measurer.conditions()
    results: list[Measurement] = []
    measurer.profile(work, target, results.append, stop.is_set)
    if stop.is_set():
        raise ValueError("stopped; nothing was written")
    profile = ProfileFile(
        target=target,
        conditions=conditions,
        operators=tuple(row for row in results if isinstance(row, OperatorMeasurement)),
        networks=tuple(row for row in results if isinstance(row, NetworkMeasurement)),
        conditions_after=measurer.conditions(),
    )
    write_profile(out, profile)
    return profile
