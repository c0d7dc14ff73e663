"""Small data sets of the formats that are single files."""

from pathlib import Path
from typing import Any

import numpy as np

RNG = np.random.default_rng(0)


def cifar_pixels(count: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    labels = np.arange(count, dtype=np.uint8) % 10
    return RNG.integers(0, 256, (count, 3072), dtype=np.uint8), labels


NAMES = [*(f"data_batch_{index}" for index in range(1, 6)), "test_batch"]


def archive(path: Path, **changed: Any) -> Path:
    arrays = {
        "train_images": RNG.integers(0, 256, (6, 8, 8), dtype=np.uint8),
        "train_labels": np.array([0, 1, 2, 0, 1, 2]),
        "test_images": RNG.integers(0, 256, (3, 8, 8), dtype=np.uint8),
        "test_labels": np.array([0, 1, 2]),
    }
    arrays |= changed
    kept: dict[str, Any] = {name: array for name, array in arrays.items() if array is not None}
    np.savez(path / "data.npz", **kept)
    return path / "data.npz"
