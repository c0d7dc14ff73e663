"""Checkpoints: written whole or not at all, read without running code."""

import json
from pathlib import Path
from typing import Any

import torch

from latency.files import write_atomic, write_atomically


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` so that a crash leaves either the old file or the new one.

    Args:
        path: the folder is made where it is missing.
        state: tensors and plain values, nested in dicts and lists.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: torch.save(state, file))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Return what `save_checkpoint` wrote.

    Raises:
        ValueError: the file is damaged or holds more than tensors and plain values.
        OSError: it cannot be read.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # bytes that are no checkpoint can raise nearly anything
        raise ValueError(f"checkpoint: {path} is damaged: {error}") from error
    if not isinstance(state, dict):
        raise ValueError(f"checkpoint: {path} holds no state")
    return state


def resume_point(path: Path) -> dict[str, Any] | None:
    """Return the checkpoint to go on from, or None to start anew.

    A damaged file is put aside as NAME.damaged: a seeded run gives the same result from the start.
    """
    if not path.exists():
        return None
    try:
        return load_checkpoint(path)
    except ValueError:
        path.replace(path.with_name(f"{path.name}.damaged"))
        return None


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write JSON atomically. NaN and infinity are refused with a ValueError."""
    text = json.dumps(values, indent=1, sort_keys=True, allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text.encode())


def read_result(path: Path) -> dict[str, Any]:
    """Return what a stage has written.

    Raises:
        ValueError: it is missing, damaged or no object.
    """
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ValueError(f"{path.name} is missing: run the stage before first") from error
    except ValueError as error:
        raise ValueError(f"{path.name} is damaged: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path.name} holds no object")
    return values
