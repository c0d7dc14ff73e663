"""`python -m latency.lowering`: says what it did, checks it, and refuses what is bad."""

import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import helper

from latency.exchange.table_file import TableFile, write_table
from latency.kernels import library
from latency.lowering.__main__ import main
from tests.latency.lowering.masked import masked_model, masked_table
from tests.latency.lowering.models import assert_same, chain, random, run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    onnx.save(masked_model(), path)
    return path


def test_the_command_writes_a_model_that_computes_the_same(model: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.onnx"
    command = [sys.executable, "-m", "latency.lowering", str(model), "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "third: conv 128->32 k1 s1 @8x8" in done.stdout
    assert "removed channels: 8" in done.stdout
    assert "regime: library" in done.stdout
    image = random(1, 3, 8, 8)
    assert_same(run(output.read_bytes(), image), run(masked_model(), image))


def test_a_table_decides(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "table.json"
    write_table(table, TableFile(table=masked_table(library_slope=100.0)))
    output = tmp_path / "out.onnx"
    assert main([str(model), "--output", str(output), "--table", str(table)]) == 0
    printed = capsys.readouterr().out
    assert "regime: stock" in printed
    assert "predicted, stock: " in printed
    assert "predicted, library: " in printed
    assert "balanced-block32 0.25" in printed
    assert output.is_file()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"what is this", "is not an ONNX model"),
        (b"", "not valid ONNX"),
        (
            chain(helper.make_node("Tanh", ["x"], ["y"], name="t")).SerializeToString(),
            r"error: model: node 't' (Tanh): allowed are",
        ),
    ],
)
def test_bad_models_get_a_message(
    content: bytes | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.onnx"
    if content is not None:
        path.write_bytes(content)
    assert main([str(path), "--output", str(tmp_path / "out.onnx")]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize("content", [b"{", b"{}", b'{"version": "x"}', b"\xff"])
def test_bad_tables_get_a_message(
    content: bytes, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "table.json"
    table.write_bytes(content)
    assert main([str(model), "--output", str(tmp_path / "o"), "--table", str(table)]) == 1
    assert capsys.readouterr().err.startswith(f"error: {table}: not ")


def test_a_folder_that_is_not_there_gets_a_message(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(model), "--output", str(tmp_path / "no" / "out.onnx")]) == 1
    assert f"there is no folder {tmp_path / 'no'}" in capsys.readouterr().err


def test_what_is_there_and_no_plain_file_is_never_replaced(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe, link, before = tmp_path / "pipe", tmp_path / "link", model.read_bytes()
    os.mkfifo(pipe)
    link.symlink_to(model)
    for output in (pipe, link, tmp_path):
        assert main([str(model), "--output", str(output)]) == 1
        assert "is there and no plain file" in capsys.readouterr().err
    assert main([str(model), "--output", str(model)]) == 1
    assert "is the model itself" in capsys.readouterr().err
    assert pipe.is_fifo()
    assert link.is_symlink()
    assert model.read_bytes() == before


def test_without_the_library_the_command_says_what_it_did_not_check(
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(library.ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.setattr(library, "LIBRARY_FILE", "never-built.so")
    output = tmp_path / "out.onnx"
    assert main([str(model), "--output", str(output)]) == 0
    assert "compared without the operator library only" in capsys.readouterr().out
    assert output.stat().st_mode & 0o777 == 0o644
