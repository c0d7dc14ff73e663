"""What the machine is like right now. What cannot be read is None, which is no failure."""

import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from latency.measurement import Conditions
from latency.profiler.affinity import usable_cores
from latency.units import NS_PER_S

_CORES = "devices/system/cpu"
_THERMAL = "class/thermal"
_PROCESSOR_SENSORS = ("x86_pkg_temp", "cpu", "soc", "k10temp", "acpitz")  # preferred first
_MILLI = 1000.0


def read_conditions(
    clock_ns: Callable[[], int] = time.time_ns,
    sysfs: Path = Path("/sys"),
    *,
    affinity: tuple[int, ...] = (),
    threads: int | None = None,
) -> Conditions:
    """Return the conditions of the machine.

    Args:
        clock_ns: wall clock, nanoseconds since 1970.
        sysfs: where the kernel shows its devices.
        affinity: cores that are measured on; empty: all that this process may use.
        threads: of ONNX Runtime, as far as known.
    """
    cores = affinity or usable_cores()
    frequencies = _numbers(sysfs, cores, "cpufreq/scaling_cur_freq")
    throttled = _numbers(sysfs, cores, "thermal_throttle/core_throttle_count")
    return Conditions(
        started_at=datetime.fromtimestamp(clock_ns() / NS_PER_S, UTC).isoformat(),
        load_average=_load_average(),
        frequency_khz=max(frequencies, default=None),
        temperature_c=_temperature(sysfs / _THERMAL),
        governor=read_governor(sysfs) or None,
        throttled=sum(throttled) if throttled else None,
        affinity=cores,
        threads=threads,
    )


def read_governor(sysfs: Path = Path("/sys")) -> str:
    """Return the frequency governor of the first core, or an empty text."""
    return _read(sysfs / _CORES / "cpu0/cpufreq/scaling_governor")


def _numbers(sysfs: Path, cores: Sequence[int], name: str) -> list[int]:
    """Return a number of each core, of those that have it."""
    texts = [_read(sysfs / _CORES / f"cpu{core}" / name) for core in cores]
    return [int(text) for text in texts if text.isdigit()]


def _temperature(zones: Path) -> float | None:
    """Return the temperature of the processor's zone, or of the first zone, in Celsius."""
    readings: dict[str, float] = {}
    for zone in sorted(zones.glob("thermal_zone*")):
        text = _read(zone / "temp")
        if text.lstrip("-").isdigit():
            readings.setdefault(_read(zone / "type").lower(), int(text) / _MILLI)
    for wanted in _PROCESSOR_SENSORS:
        for name, celsius in readings.items():
            if wanted in name:
                return celsius
    return next(iter(readings.values()), None)


def _load_average() -> float | None:
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
