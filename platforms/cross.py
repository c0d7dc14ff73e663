"""The operator library for another processor, built by zig's C++ compiler (decision 0010)."""

import os
import subprocess
from pathlib import Path

from platforms.tools import ROOT, WORK, tools

GLIBC = "2.28"  # what manylinux_2_28 promises
ARCHITECTURES = ("x86_64", "aarch64")

_COMPILER = """#!/bin/sh
exec {python} -m ziglang c++ -target {architecture}-linux-gnu.{glibc} "$@"
"""
_ARCHIVER = """#!/bin/sh
exec {python} -m ziglang ar "$@"
"""
# Stripped: the debug information of the C++ library is four times as large as the kernels.
_TOOLCHAIN = """set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR {architecture})
set(CMAKE_CXX_COMPILER {folder}/c++)
set(CMAKE_AR {folder}/ar)
set(CMAKE_MODULE_LINKER_FLAGS_INIT "-s")
"""


def toolchain(architecture: str) -> Path:
    """Return the CMake toolchain file of an architecture.

    Raises:
        SkippedError: zig cannot be fetched.
    """
    names = {"architecture": architecture, "glibc": GLIBC, "python": tools() / "python"}
    folder = WORK / "toolchains" / architecture
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("c++", _COMPILER), ("ar", _ARCHIVER)):
        (folder / name).write_text(text.format(**names))
        (folder / name).chmod(0o755)
    path = folder / "toolchain.cmake"
    path.write_text(_TOOLCHAIN.format(folder=folder, **names))
    return path


def environment() -> dict[str, str]:
    """Return an environment in which zig keeps what it builds below the working folder."""
    return os.environ | {"ZIG_GLOBAL_CACHE_DIR": str(WORK / "zig-cache")}


def build_library(architecture: str) -> Path:
    """Return the library for an architecture, compiled now.

    Raises:
        SkippedError: zig cannot be fetched.
        subprocess.CalledProcessError: it does not compile.
    """
    folder = WORK / "libraries" / architecture
    commands = [
        ["cmake", "-S", str(ROOT), "-B", str(folder), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
         f"-DCMAKE_MAKE_PROGRAM={tools() / 'ninja'}",
         f"-DCMAKE_TOOLCHAIN_FILE={toolchain(architecture)}"],
        ["cmake", "--build", str(folder)],
    ]  # fmt: skip
    for name, *arguments in commands:
        subprocess.run([str(tools() / name), *arguments], check=True, env=environment())
    return folder / "latency" / "kernels" / "src" / "libedgewright_kernels.so"
