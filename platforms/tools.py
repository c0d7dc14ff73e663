"""What the scripts of this package share: where they work, their tools, and how they are skipped."""

import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
WORK = ROOT / "build" / "platforms"  # made by these scripts, ignored by git, may be deleted


class SkippedError(Exception):
    """Something that this machine lacks; the script says so and succeeds."""


def need(program: str, reason: str) -> str:
    """Return the path of a program.

    Raises:
        SkippedError: the machine does not have it.
    """
    path = shutil.which(program)
    if path is None:
        raise SkippedError(f"no {program} on this machine ({reason})")
    return path


def fetch(command: list[str], what: str, **options: object) -> None:
    """Run a command that needs the network.

    Raises:
        SkippedError: it failed; the message has its last words.
    """
    answer = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    if answer.returncode != 0:
        words = " ".join((answer.stderr or answer.stdout).split())[-300:]
        raise SkippedError(f"{what} could not be fetched: {words}")


@contextmanager
def once(folder: Path, key: str) -> Iterator[bool]:
    """Give True where `folder` must be made anew, because it was not yet made for this `key`.

    The folder is empty then, and counts as made when the block ends without an exception.
    """
    mark = folder / ".made"
    if mark.is_file() and mark.read_text() == key:
        yield False
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    yield True
    mark.write_text(key)


def tools() -> Path:
    """Return the folder of programs of an environment with the locked tools (zig, auditwheel).

    Raises:
        SkippedError: they cannot be fetched.
    """
    lock = ROOT / "locks" / "platforms.txt"
    folder = WORK / "tools"
    with once(folder, lock.read_text()) as is_new:
        if is_new:
            venv.create(folder, with_pip=True)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
            fetch([*pip, "--requirement", str(lock)], "the tools of locks/platforms.txt")
    return folder / "bin"


def main(script: Callable[[], None], name: str) -> None:
    """Run a script; say what it needs and this machine lacks, and then succeed."""
    try:
        script()
    except SkippedError as reason:
        print(f"SKIPPED: {name}: {reason}", flush=True)
    except subprocess.TimeoutExpired as error:
        sys.exit(f"{name}: over its limit of {error.timeout} s: {error.cmd[0]}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"{name}: failed with {error.returncode}: {error.cmd[0]}\n{error.stderr or ''}")
