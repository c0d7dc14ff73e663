"""What this device is: read once by the agent, part of every target."""

import os
import platform
from pathlib import Path

import onnxruntime

from latency.kernels.library import library_version
from latency.profiler.affinity import check_affinity, usable_cores
from latency.profiler.conditions import read_governor
from latency.target import CPU, STOCK_LIBRARY, DeviceFacts, Target

# Instruction sets that change how fast a kernel is; the rest of the flags is noise.
_X86 = ("sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512dq",
        "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8")  # fmt: skip
_ARM = ("neon", "asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve", "sve2", "sme")
_FEATURES = frozenset(_X86 + _ARM)
_MEMORY_STEP = 64 * 1024 * 1024  # what the kernel keeps for itself varies from boot to boot


def read_device_facts(root: Path = Path("/")) -> DeviceFacts:
    """Return the facts of this device. What cannot be read is empty.

    Args:
        root: where `proc` and `sys` are.
    """
    info = _processor_info(root)
    return DeviceFacts(
        machine=platform.machine(),
        processor=_processor_name(info, root),
        cores=len(usable_cores()) or os.cpu_count() or 1,
        features=tuple(sorted(_flags(info) & _FEATURES)),
        memory_bytes=_memory_bytes(),
        system=f"{platform.system()} {platform.release()}".strip(),
        governor=read_governor(root / "sys"),
    )


def current_target(
    threads: int = 1,
    affinity: tuple[int, ...] = (),
    provider: str = CPU,
    provider_options: tuple[tuple[str, str], ...] = (),
) -> Target:
    """Return this device with its run-time setting.

    Raises:
        ValueError: more threads than cores, or none; cores that this process may not use; an
            execution provider that this runtime does not have.
    """
    facts = read_device_facts()
    available = onnxruntime.get_available_providers()
    if provider not in available:
        raise ValueError(f"no provider {provider!r}; this runtime has {', '.join(available)}")
    if not 1 <= threads <= facts.cores:
        raise ValueError(f"threads must be from 1 to {facts.cores}, got {threads}")
    check_affinity(affinity, threads)
    return Target(
        facts=facts,
        runtime_version=onnxruntime.__version__,
        execution_provider=provider,
        threads=threads,
        affinity=tuple(sorted(affinity)),
        operator_library=library_version() or STOCK_LIBRARY,
        provider_options=tuple(sorted(provider_options)),
    )


def _processor_info(root: Path) -> dict[str, str]:
    """Return the first value of every line of /proc/cpuinfo, keys in lower case."""
    info: dict[str, str] = {}
    for line in _read(root / "proc/cpuinfo").splitlines():
        key, found, value = line.partition(":")
        if found:
            info.setdefault(key.strip().lower(), value.strip())
    return info


def _processor_name(info: dict[str, str], root: Path) -> str:
    board = _read(root / "proc/device-tree/model").rstrip("\0")
    return info.get("model name") or board or info.get("hardware") or platform.processor()


def _flags(info: dict[str, str]) -> set[str]:
    return set((info.get("flags") or info.get("features") or info.get("isa") or "").split())


def _memory_bytes() -> int:
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return 0
    return round(memory / _MEMORY_STEP) * _MEMORY_STEP


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
