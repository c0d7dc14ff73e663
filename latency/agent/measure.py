"""Profiling without a server: plan file in, profile file out."""

from dataclasses import dataclass
from pathlib import Path

from latency import codec
from latency.agent.measurer import Measurer
from latency.agent.spool import Measurement
from latency.agent.stop import StopSignal
from latency.files import write_atomic
from latency.measurement import Conditions, NetworkMeasurement, OperatorMeasurement
from latency.messages import ProfileWork
from latency.target import Target


@dataclass(frozen=True, kw_only=True)
class ProfileFile:
    """What `measure` writes: raw samples with all that is needed to judge them."""

    target: Target
    conditions: Conditions
    operators: tuple[OperatorMeasurement, ...]
    networks: tuple[NetworkMeasurement, ...]
    conditions_after: Conditions | None = None


def read_plan(path: Path) -> ProfileWork:
    """Return the ProfileWork that `path` holds as JSON.

    Raises:
        ValueError: no such file, not a plan, or nothing in it; the message names the file.
    """
    try:
        work = codec.decode(path.read_bytes(), ProfileWork)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not work.operators and not work.networks:
        raise ValueError(f"{path}: the plan has no operators and no networks")
    return work


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
    write_atomic(out, codec.encode(profile))
    return profile
