"""Where the compiled operator library is, and how a session gets it. Standard library only."""

import ctypes
import os
import sysconfig
from functools import cache
from pathlib import Path
from typing import Protocol

DOMAIN = "ai.edgewright"
DOMAIN_VERSION = 1
ENVIRONMENT_VARIABLE = "EDGEWRIGHT_KERNELS_LIBRARY"

LIBRARY_FILE = "libedgewright_kernels.so"


class SessionOptions(Protocol):
    """What is needed of `onnxruntime.SessionOptions`."""

    def register_custom_ops_library(self, path: str) -> None:
        """Load an operator library into the sessions of these options."""


def library_path() -> Path | None:
    """Return the compiled library, or None where none was built: then models run as dense.

    An installed package carries it beside this module; an editable installation leaves it where
    packages with machine code are installed. `EDGEWRIGHT_KERNELS_LIBRARY` names another one.

    Raises:
        ValueError: the environment variable names no file.
    """
    chosen = os.environ.get(ENVIRONMENT_VARIABLE)
    if chosen:
        path = Path(chosen)
        if not path.is_file():
            raise ValueError(f"{ENVIRONMENT_VARIABLE}: there is no file {chosen!r}")
        return path.resolve()
    installed = Path(sysconfig.get_path("platlib"), "latency", "kernels")
    for folder in (Path(__file__).parent, installed):
        path = folder / LIBRARY_FILE
        if path.is_file():
            return path.resolve()
    return None


@cache
def _ask(path: Path, question: str) -> str:
    """Return the text that a function of the library answers.

    Raises:
        ValueError: the file is no such library, or none for this machine.
    """
    try:
        ask = ctypes.CDLL(str(path))[question]
    except (OSError, AttributeError) as error:
        raise ValueError(f"{path} is not the operator library: {error}") from error
    ask.restype = ctypes.c_char_p
    answer: bytes = ask()
    return answer.decode()


def library_version() -> str | None:
    """Return the version of the library: its interface and the digest of its sources, or None.

    Kernels of another version may be faster or slower, so the version is part of every target.

    Raises:
        ValueError: the file is no such library, or none for this machine.
    """
    path = library_path()
    return None if path is None else _ask(path, "edgewright_version")


def instruction_set() -> str | None:
    """Return which instruction set the library uses on this machine, or None without a library.

    Raises:
        ValueError: the file is no such library, or none for this machine.
    """
    path = library_path()
    return None if path is None else _ask(path, "edgewright_instruction_set")


def register(session_options: SessionOptions) -> bool:
    """Load the library into the sessions of these options; False where there is none.

    A session needs nothing else: the same model runs in both cases, with the same results.

    Raises:
        ValueError: the file is no such library, or none for this machine.
    """
    path = library_path()
    if path is None:
        return False
    _ask(path, "edgewright_version")  # the runtime's own message would not say what the file is
    session_options.register_custom_ops_library(str(path))
    return True
