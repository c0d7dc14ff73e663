"""Build the operator library for aarch64 and run its tests under emulation: `make arm`.

Emulation proves that the library is correct there. It says nothing about its speed.
"""

import os
import platform
import struct
import subprocess
from pathlib import Path

from latency.kernels.library import ENVIRONMENT_VARIABLE
from platforms.cross import build_library
from platforms.emulation import PROCESSOR, emulated_python
from platforms.tools import ROOT, SkippedError, main

TESTS = "tests/latency/kernels"
LIMIT_S = 600  # ends a hang; on an idle machine the tests need a quarter of it

# Encodings of FMLA on four floats, as (mask, value): by element and by vector.
_FMLA = ((0xFFC0F400, 0x4F801000), (0xFFE0FC00, 0x4E20CC00))


def fused_multiply_adds(library: Path) -> int:
    """Return how many instructions of an aarch64 library multiply and add four floats at once."""
    machine = library.read_bytes()
    words = struct.unpack(f"<{len(machine) // 4}I", machine[: len(machine) // 4 * 4])
    return sum(any(word & mask == value for mask, value in _FMLA) for word in words)


def test_under_emulation() -> None:
    """Build, look for vector instructions, run the tests.

    Raises:
        SkippedError: a part of it cannot be had on this machine.
        subprocess.CalledProcessError: the library does not compile, or a test fails.
    """
    if platform.machine() == "aarch64":
        raise SkippedError("this machine is aarch64 itself: make test covers it")
    python = emulated_python()
    library = build_library("aarch64")
    count = fused_multiply_adds(library)
    if count == 0:
        raise subprocess.CalledProcessError(1, ["build"], stderr="no NEON multiply-add in it")
    print(f"aarch64: {count} NEON multiply-adds; {TESTS} on an emulated {PROCESSOR}", flush=True)
    subprocess.run(
        [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=5", TESTS],
        check=True,
        cwd=ROOT,
        env=os.environ | {ENVIRONMENT_VARIABLE: str(library)},
        timeout=LIMIT_S,
    )


if __name__ == "__main__":
    main(test_under_emulation, "make arm")
