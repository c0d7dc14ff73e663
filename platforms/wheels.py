"""Build the source distribution and the wheels that boards install, and check them: `make wheels`.

A wheel has no Python ABI, only a library for one processor, so there is one per processor. It is
built from the source distribution, which so is proven to be complete.
"""

import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

from latency.kernels.library import instruction_set
from platforms.cross import ARCHITECTURES, GLIBC, environment, toolchain
from platforms.tools import ROOT, WORK, fetch, main, tools

DIST = ROOT / "dist"
LIBRARY = "latency/kernels/libedgewright_kernels.so"
# What a session with the library does, in an environment that has nothing else of this project.
SMOKE_TEST = """
import onnxruntime
from latency.kernels import register

assert register(onnxruntime.SessionOptions())
"""


def wheel_tag(architecture: str) -> str:
    """Return the platform tag of the wheel for an architecture."""
    return f"manylinux_{GLIBC.replace('.', '_')}_{architecture}"


def build_sdist(folder: Path) -> Path:
    """Write the source distribution into a folder and return its path."""
    command = [str(tools() / "python"), "-m", "build", "--no-isolation", "--sdist"]
    subprocess.run([*command, "--outdir", str(folder), str(ROOT)], check=True, capture_output=True)
    (path,) = folder.glob("*.tar.gz")
    return path


def build_wheel(sdist: Path, architecture: str, folder: Path) -> Path:
    """Cross-compile the wheel of a source distribution and return its path.

    Raises:
        SkippedError: zig cannot be fetched.
        subprocess.CalledProcessError: it does not compile, or needs a newer glibc than its tag
            says.
    """
    python = str(tools() / "python")
    with tempfile.TemporaryDirectory() as work:
        with tarfile.open(sdist) as archive:  # anew each time: it would keep its build folder
            archive.extractall(work, filter="data")
        (source,) = Path(work).iterdir()
        subprocess.run(
            [python, "-m", "build", "--no-isolation", "--wheel", "--outdir", work, str(source)],
            check=True,
            capture_output=True,
            text=True,
            env=environment()
            | {
                "CMAKE_TOOLCHAIN_FILE": str(toolchain(architecture)),
                "PATH": f"{tools()}{os.pathsep}{os.environ['PATH']}",
            },
        )
        (built,) = Path(work).glob("*.whl")
        tag = wheel_tag(architecture)
        command = [python, "-m", "wheel", "tags", "--remove", "--platform-tag", tag, str(built)]
        subprocess.run(command, check=True, capture_output=True, text=True)
        (tagged,) = Path(work).glob("*.whl")
        return Path(shutil.copy(tagged, folder))


def check_wheel(wheel: Path, architecture: str) -> None:
    """Hold a wheel against its tag: processor, symbol versions of glibc, foreign libraries.

    Raises:
        ValueError: it has no library, or does not keep what its tag promises.
    """
    if not wheel.name.endswith(f"-py3-none-{wheel_tag(architecture)}.whl"):
        raise ValueError(f"{wheel.name}: the tag must be py3-none-{wheel_tag(architecture)}")
    if LIBRARY not in zipfile.ZipFile(wheel).namelist():
        raise ValueError(f"{wheel.name}: {LIBRARY} is not in it")
    # Says which of the platforms of manylinux the library can run on, oldest first.
    answer = subprocess.run(
        [str(tools() / "python"), "-m", "auditwheel", "show", str(wheel)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    words = " ".join(answer.split())
    consistent = words.partition("is consistent with the following platform tag: ")[2]
    found = consistent.partition('"')[2].partition('"')[0]
    version = tuple(int(part) for part in found.split("_")[1:3]) if "manylinux_" in found else ()
    limit = tuple(int(part) for part in GLIBC.split("."))
    if not version or version > limit or architecture not in found:
        raise ValueError(f"{wheel.name}: auditwheel finds {found or words!r}")
    print(f"{wheel.name}: {wheel.stat().st_size // 1024} KiB, auditwheel: {found}", flush=True)


def install(package: Path, name: str, **settings: str) -> Path:
    """Return the Python of a new environment with a package and nothing that it depends on.

    Raises:
        SkippedError: what its build needs cannot be fetched.
    """
    folder = WORK / "installed" / name
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    fetch(
        [str(python), "-m", "pip", "install", "--quiet", "--no-deps", str(package)],
        f"the installation of {package.name}",
        env=os.environ | settings,
    )
    return python


def words_of(python: Path) -> str:
    """Return what an installation says about its library."""
    command = [str(python), "-m", "latency.kernels"]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=WORK
    ).stdout.strip()


def check_installations(sdist: Path, wheel: Path) -> None:
    """Install the sources where there is no compiler, and the wheel; both must say what they are.

    Raises:
        ValueError: one of them says something else.
    """
    # CMake would find the compilers of this machine by itself; this is how it is told of none.
    missing = words_of(install(sdist, "without-compiler", CXX="/nowhere/c++"))
    if not missing.startswith("operator library: not built"):
        raise ValueError(f"installed without a compiler, and it says: {missing}")
    print(f"without a compiler: {missing}")
    python = install(wheel, "wheel", CXX="/nowhere/c++")
    found = words_of(python)
    # A library built here chooses as well as can be; one from another compiler must not do worse.
    if LIBRARY not in found or not found.endswith(instruction_set() or ""):
        raise ValueError(f"installed from the wheel, and it says: {found}")
    lock = ROOT / "locks" / "dev.txt"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--constraint", str(lock)]
    fetch([*pip, "onnxruntime"], "onnxruntime")
    subprocess.run([str(python), "-c", SMOKE_TEST], check=True, cwd=WORK)
    print("wheel: installed without a compiler, registered with ONNX Runtime")


def build_all() -> None:
    """Write the source distribution and all wheels into `dist`, checked.

    Raises:
        SkippedError: a tool cannot be fetched.
        subprocess.CalledProcessError: something does not build.
        ValueError: something does not keep what its tag promises.
    """
    tools()
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    sdist = build_sdist(DIST)
    wheels = {name: build_wheel(sdist, name, DIST) for name in ARCHITECTURES}
    for name, wheel in wheels.items():
        check_wheel(wheel, name)
    if platform.machine() in wheels:
        check_installations(sdist, wheels[platform.machine()])


if __name__ == "__main__":
    main(build_all, "make wheels")
