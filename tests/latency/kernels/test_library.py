"""Where the library is found, and that finding it is cheap."""

import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

from latency.kernels import library, library_path, register


def test_register_loads_the_library() -> None:
    assert register(onnxruntime.SessionOptions()) is True


def test_environment_variable_names_another_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "other.so"
    path.touch()
    monkeypatch.setenv(library.ENVIRONMENT_VARIABLE, str(path))
    assert library_path() == path


def test_environment_variable_must_name_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.ENVIRONMENT_VARIABLE, "/nowhere/library.so")
    with pytest.raises(ValueError, match=r"/nowhere/library\.so"):
        library_path()


@pytest.mark.parametrize("content", [b"", b"no machine code"])
def test_file_that_is_no_library_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    path = tmp_path / "broken.so"
    path.write_bytes(content)
    monkeypatch.setenv(library.ENVIRONMENT_VARIABLE, str(path))
    with pytest.raises(ValueError, match=r"broken\.so is not the operator library"):
        register(onnxruntime.SessionOptions())
    answer = subprocess.run(
        [sys.executable, "-m", "latency.kernels"], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"operator library: {path} is not the operator library")


def test_without_a_library_nothing_is_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(library.ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.setattr(library, "LIBRARY_FILE", "never-built.so")
    assert library_path() is None
    assert register(onnxruntime.SessionOptions()) is False


def test_finding_the_library_imports_no_runtime() -> None:
    code = "import sys, latency.kernels; print({'onnx', 'onnxruntime', 'numpy'} & set(sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "set()\n"
