"""Run Python with a library built under the sanitizers: `python -m platforms.sanitize -m pytest`.

A violation ends the process, so that a test or the fuzzer fails. With `--or-plain` first, the
plain library is taken where the sanitizers are missing, and that is said.
"""

import os
import subprocess
import sys
from pathlib import Path

from latency.kernels import library_path
from latency.kernels.library import ENVIRONMENT_VARIABLE
from platforms.tools import ROOT, SkippedError, main, need

BUILD = ROOT / "build" / "sanitize"
OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0",  # Python and the runtime keep memory until the end
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
}


def sanitizer_libraries() -> str:
    """Return what has to be loaded before Python.

    Raises:
        SkippedError: there is no compiler, or it has no sanitizers.
    """
    compiler = need(os.environ.get("CXX", "c++"), "a C++ compiler with sanitizers is needed")
    paths = []
    for name in ("libasan.so", "libubsan.so"):
        command = [compiler, f"-print-file-name={name}"]
        path = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        if not Path(path).is_absolute():
            raise SkippedError(f"{compiler} has no {name}")
        paths.append(path)
    return " ".join(paths)


def build() -> Path:
    """Return the library, built with both sanitizers by the cmake beside this Python."""
    tools = Path(sys.executable).parent
    configure = ["-G", "Ninja", "-DCMAKE_BUILD_TYPE=RelWithDebInfo", "-DEDGEWRIGHT_SANITIZE=ON"]
    if (tools / "ninja").is_file():
        configure.append(f"-DCMAKE_MAKE_PROGRAM={tools / 'ninja'}")
    cmake = str(tools / "cmake") if (tools / "cmake").is_file() else need("cmake", "make setup")
    for command in (["-S", str(ROOT), "-B", str(BUILD), *configure], ["--build", str(BUILD)]):
        subprocess.run([cmake, *command], check=True, stdout=subprocess.DEVNULL)
    return BUILD / "latency" / "kernels" / "src" / "libedgewright_kernels.so"


def run_python(arguments: list[str]) -> None:
    """Run Python with these arguments.

    Raises:
        SkippedError: there are no sanitizers, or with `--or-plain` no library at all.
        subprocess.CalledProcessError: Python failed.
    """
    or_plain = arguments[:1] == ["--or-plain"]
    environment = dict(os.environ)
    try:
        preload = sanitizer_libraries()
        environment |= OPTIONS | {"LD_PRELOAD": preload, ENVIRONMENT_VARIABLE: str(build())}
    except SkippedError as reason:
        if not or_plain or library_path() is None:
            raise
        print(f"SKIPPED: sanitizers: {reason}; the plain library is taken", flush=True)
    command = [sys.executable, *arguments[or_plain:]]
    subprocess.run(command, check=True, env=environment, cwd=ROOT)


if __name__ == "__main__":
    main(lambda: run_python(sys.argv[1:]), "sanitizers")
