"""Checkpoints are whole or absent, and reading one runs no code."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from latency.files import write_atomically
from search.engine.checkpoint import (
    load_checkpoint,
    resume_point,
    save_checkpoint,
    write_json,
)


def test_round_trip(tmp_path: Path) -> None:
    state = {"epoch": 3, "weights": {"a": torch.randn(3)}, "history": [{"loss": 0.5}, None]}
    path = tmp_path / "deep" / "run.pt"
    save_checkpoint(path, state)
    found = load_checkpoint(path)
    assert found["epoch"] == 3
    assert found["history"] == state["history"]
    assert torch.equal(found["weights"]["a"], state["weights"]["a"])  # type: ignore[index]
    assert [entry.name for entry in path.parent.iterdir()] == ["run.pt"]


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_json(path, {"epoch": 1})

    def broken(file: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, broken)
    assert path.read_text() == '{\n "epoch": 1\n}'
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "list"])
def test_damaged_checkpoint_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "run.pt"
    save_checkpoint(path, {"a": torch.randn(100)})
    if damage == "list":
        torch.save([1], path)
    else:
        content = {"truncated": path.read_bytes()[:300], "empty": b"", "text": b"hello"}
        path.write_bytes(content[damage])
    with pytest.raises(ValueError, match=r"run\.pt (is damaged|holds no state)"):
        load_checkpoint(path)


class Attack:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (os.mkdir, ("attacked",))


def test_checkpoint_with_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Attack()}, tmp_path / "run.pt")
    with pytest.raises(ValueError, match="is damaged"):
        load_checkpoint(tmp_path / "run.pt")
    assert not (tmp_path / "attacked").exists()


def test_json_refuses_what_json_cannot_say(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "x.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())


def test_a_damaged_checkpoint_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    assert resume_point(path) is None
    save_checkpoint(path, {"epoch": 3})
    assert resume_point(path) == {"epoch": 3}
    path.write_bytes(path.read_bytes()[:40])
    assert resume_point(path) is None
    assert not path.exists()
    assert path.with_name("run.pt.damaged").exists()
