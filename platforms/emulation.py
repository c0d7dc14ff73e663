"""Python and ONNX Runtime for aarch64 on another machine, under qemu's user-mode emulation.

Nothing is installed: packages of Debian and of PyPI are unpacked below `build/platforms`.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from platforms.tools import ROOT, WORK, fetch, need, once

PYTHON = "3.11"  # of Debian 12
# An Arm core without any extension after ARMv8.0: what runs on it runs on every aarch64 board.
PROCESSOR = "cortex-a72"

_DEBIAN = [
    f"python{PYTHON}-minimal", f"libpython{PYTHON}-minimal", f"libpython{PYTHON}-stdlib", "libc6",
    "libgcc-s1", "libstdc++6", "zlib1g", "libexpat1", "libffi8", "libbz2-1.0", "liblzma5",
    "libsqlite3-0", "libssl3", "libuuid1",
]  # fmt: skip
_PACKAGES = [
    "hypothesis", "msgspec", "numpy", "onnx", "onnxruntime", "pytest", "pytest-randomly",
    "pytest-timeout",
]  # fmt: skip
_PLATFORMS = ["manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64"]

_APT = """APT::Architecture "{architecture}";
#clear APT::Architectures;
APT::Architectures {{ "{architecture}"; }};
APT::Sandbox::User "";
Dir::State "{folder}/state";
Dir::State::status "/dev/null";
Dir::Cache "{folder}/cache";
Debug::NoLocking "1";
"""
# The runtime reads these to choose its kernels, and qemu 7 shows it those of the real machine.
_CPU = """processor\t: {number}
BogoMIPS\t: 100.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

"""
_WRAPPER = """#!/bin/sh
export EDGEWRIGHT_EMULATED_PYTHON={wrapper} PYTHONPATH={site}:{root}
exec {qemu} -cpu {processor} -L {system} {system}/usr/bin/python{python} "$@"
"""
# Tests start `sys.executable`; the kernel of this machine can only start the wrapper.
_SITE_CUSTOMIZE = """import os
import sys

sys.executable = os.environ["EDGEWRIGHT_EMULATED_PYTHON"]
"""


def _unpack(architecture: str, packages: list[str], folder: Path) -> None:
    apt_get = need("apt-get", "packages of Debian 12 are needed")
    work = WORK / "apt" / architecture
    for name in ("state/lists/partial", "cache/archives/partial", "packages"):
        (work / name).mkdir(parents=True, exist_ok=True)
    (work / "apt.conf").write_text(_APT.format(architecture=architecture, folder=work))
    for arguments in (["update"], ["download", *packages]):
        fetch(
            [apt_get, "--quiet", *arguments],
            f"{architecture} packages of Debian 12",
            cwd=work / "packages",
            env={"APT_CONFIG": str(work / "apt.conf"), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"},
        )
    for package in (work / "packages").glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(package), str(folder)], check=True)
    shutil.rmtree(work / "packages")


def _qemu() -> Path:
    installed = shutil.which("qemu-aarch64-static")
    if installed:
        return Path(installed)
    folder = WORK / "qemu"
    need("dpkg", "packages of Debian 12 are needed")
    own = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True)
    with once(folder, "qemu-user-static") as is_new:
        if is_new:
            _unpack(own.stdout.decode().strip(), ["qemu-user-static"], folder)
    return folder / "usr" / "bin" / "qemu-aarch64-static"


def _system() -> Path:
    folder = WORK / "debian-arm64"
    with once(folder, "\n".join(_DEBIAN)) as is_new:
        if is_new:
            _unpack("arm64", _DEBIAN, folder)
            (folder / "proc").mkdir()
            (folder / "proc" / "cpuinfo").write_text(
                "".join(_CPU.format(number=number) for number in range(2))
            )
    return folder


def _site() -> Path:
    lock = ROOT / "locks" / "dev.txt"
    folder = WORK / "python-arm64"
    with once(folder, lock.read_text()) as is_new:
        if is_new:
            target = [argument for name in _PLATFORMS for argument in ("--platform", name)]
            fetch(
                [sys.executable, "-m", "pip", "install", "--quiet", "--only-binary", ":all:",
                 "--target", str(folder / "site"), "--python-version", PYTHON, *target,
                 "--implementation", "cp", "--constraint", str(lock), *_PACKAGES],
                "aarch64 wheels",
            )  # fmt: skip
            (folder / "site" / "sitecustomize.py").write_text(_SITE_CUSTOMIZE)
    return folder / "site"


def emulated_python() -> Path:
    """Return a program that is Python for aarch64 with the packages that kernel tests need.

    Raises:
        SkippedError: this machine is no Debian, or its archives cannot be reached.
    """
    wrapper = WORK / "python-aarch64"
    wrapper.parent.mkdir(parents=True, exist_ok=True)
    wrapper.write_text(
        _WRAPPER.format(
            wrapper=wrapper,
            site=_site(),
            root=ROOT,
            qemu=_qemu(),
            processor=PROCESSOR,
            system=_system(),
            python=PYTHON,
        )
    )
    wrapper.chmod(0o755)
    return wrapper
