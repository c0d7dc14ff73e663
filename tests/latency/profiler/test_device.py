import os
from pathlib import Path

import onnxruntime
import pytest

from latency.codec import decode, encode
from latency.measurement import Conditions
from latency.profiler.conditions import read_conditions
from latency.profiler.device import current_target, read_device_facts
from latency.target import Target

PI_CPUINFO = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes asimddp cpuid
CPU part\t: 0xd0b

Hardware\t: BCM2835
"""
X86_CPUINFO = """processor\t: 0
model name\t: Some Processor 3000
flags\t\t: fpu sse4_2 avx2 avx512f fma nonsense

processor\t: 1
model name\t: Another
"""


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text, encoding="utf-8")


def test_this_machine() -> None:
    facts = read_device_facts()
    assert facts.cores == len(os.sched_getaffinity(0))
    assert facts.machine == os.uname().machine
    assert facts.memory_bytes > 2**27
    assert current_target().runtime_version == onnxruntime.__version__
    assert current_target().fingerprint == current_target().fingerprint
    assert decode(encode(current_target()), Target) == current_target()


def test_facts_of_a_raspberry_pi(tmp_path: Path) -> None:
    write(tmp_path, "proc/cpuinfo", PI_CPUINFO)
    write(tmp_path, "proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0")
    write(tmp_path, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "ondemand\n")
    facts = read_device_facts(tmp_path)
    assert facts.processor == "Raspberry Pi 5 Model B Rev 1.0"
    assert facts.features == ("asimd", "asimddp")
    assert facts.governor == "ondemand"


def test_facts_of_a_desktop(tmp_path: Path) -> None:
    write(tmp_path, "proc/cpuinfo", X86_CPUINFO)
    facts = read_device_facts(tmp_path)
    assert facts.processor == "Some Processor 3000"
    assert facts.features == ("avx2", "avx512f", "fma", "sse4_2")
    assert facts.governor == ""


@pytest.mark.parametrize("threads", [0, 10_000])
def test_threads_must_fit_the_cores(threads: int) -> None:
    with pytest.raises(ValueError, match="threads must be from 1 to"):
        current_target(threads)


def test_the_fastest_core_tells_the_clock_and_all_cores_tell_the_heat(tmp_path: Path) -> None:
    for core, clock, heat in ((0, 600_000, 1), (1, 1_800_000, 0), (2, 2_400_000, 5)):
        folder = f"devices/system/cpu/cpu{core}"
        write(tmp_path, f"{folder}/cpufreq/scaling_cur_freq", f"{clock}\n")
        write(tmp_path, f"{folder}/thermal_throttle/core_throttle_count", f"{heat}\n")
    conditions = read_conditions(sysfs=tmp_path, affinity=(0, 1), threads=2)
    assert (conditions.frequency_khz, conditions.throttled) == (1_800_000, 1)
    assert (conditions.affinity, conditions.threads) == ((0, 1), 2)


def test_conditions_of_a_board(tmp_path: Path) -> None:
    write(tmp_path, "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "2400000\n")
    write(tmp_path, "devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n")
    write(tmp_path, "class/thermal/thermal_zone0/type", "gpu-thermal\n")
    write(tmp_path, "class/thermal/thermal_zone0/temp", "40000\n")
    write(tmp_path, "class/thermal/thermal_zone1/type", "cpu-thermal\n")
    write(tmp_path, "class/thermal/thermal_zone1/temp", "51500\n")
    conditions = read_conditions(lambda: 1_700_000_000_000_000_000, tmp_path)
    assert conditions.started_at == "2023-11-14T22:13:20+00:00"
    assert conditions.frequency_khz == 2_400_000
    assert conditions.temperature_c == 51.5
    assert conditions.governor == "performance"


def test_what_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    conditions = read_conditions(lambda: 0, tmp_path)
    assert (conditions.frequency_khz, conditions.temperature_c, conditions.governor) == (None,) * 3
    assert decode(encode(read_conditions()), Conditions)
