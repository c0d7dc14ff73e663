"""Arrays and CIFAR files with wrong labels, types, sizes and values: each fault is named."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.data.dataset import Dataset
from search.data.datasets import load_dataset
from search.requests import DatasetRef
from tests.search.data.files import NAMES, archive, cifar_pixels


def load(kind: str, path: Path, size: int | None = None) -> Dataset:
    return load_dataset(DatasetRef(format=kind, path=str(path), image_size=size))


def pixels(count: int, *shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, (count, *(shape or (8, 8))), dtype=np.uint8)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train_labels": np.array([0, 1, 3, 0, 1, 3])}, r"class '2' has 0 images in .*\(train\)"),
        (
            {"train_labels": np.array([0, 1, 2, 0, 1, 1])},
            r"class '2' has 1 image in .* need images",
        ),
        (
            {"test_labels": np.array([0, 1, 1])},
            r"class '2' has 0 images in .*\(test\); at least 1 is",
        ),
        ({"test_labels": np.array([0, 1, 5])}, r"class '3' has 0 images in .*\(train\)"),
        (
            {"train_labels": np.array([0, 1, 2**40, 0, 1, 2])},
            "label 1099511627776 but 9 labels only: labels must count the classes from 0",
        ),
        ({"train_labels": np.zeros(6, int), "test_labels": np.zeros(3, int)}, "one class only"),
        ({"train_labels": np.array([True, False] * 3)}, "train_labels .* must be whole numbers"),
        ({"train_labels": np.array([0, 1, np.nan, 0, 1, 2])}, "must be whole numbers"),
        ({"train_images": np.full((6, 8, 8), np.nan, np.float32)}, "must be uint8 .* 0 to 255"),
        ({"test_images": np.full((3, 8, 8), np.inf)}, "test_images .* must be uint8"),
        ({"train_images": pixels(6).astype(np.int64)}, "must be uint8"),
        ({"train_images": pixels(6, 3, 8, 8)}, "must be square, got 8x3"),  # channels first
        ({"train_images": pixels(6, 0, 0), "test_images": pixels(3, 0, 0)}, "have no pixels"),
        ({"train_images": pixels(6, 8, 8, 0)}, "have no pixels"),
        ({"train_images": pixels(6, 8, 8, 3)}, "training images are .*, test images"),
        ({"train_images": pixels(6, 7, 7), "test_images": pixels(3, 7, 7)}, "image_size must be"),
        ({"class_names": np.array("abc")}, r"class_names in .* one name a class, got \(\)"),
        ({"class_names": np.array(["a", "b", "c", "d"])}, "class 'd' has 0 images"),
        ({"train_images": np.zeros((0, 8, 8), np.uint8)}, "has no images"),
    ],
)
def test_fault_of_an_archive_is_named(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        load("npz", archive(tmp_path, **changed))
    assert str(caught.value).startswith("dataset: ")
    assert "data.npz" in str(caught.value) or "training images are" in str(caught.value)


def test_archive_that_unpacks_beyond_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive(tmp_path)
    monkeypatch.setattr("os.sysconf", lambda name: 1024 if name == "SC_PAGE_SIZE" else 1)
    with pytest.raises(ValueError, match=r"the arrays of .*data\.npz would need .* of memory"):
        load("npz", path)


def cifar_binary(folder: Path, labels: np.ndarray[Any, Any]) -> Path:
    """Write the same labels into every file."""
    for name in NAMES:
        data, _ = cifar_pixels(len(labels))
        records = np.hstack([labels[:, None].astype(np.uint8), data])
        (folder / f"{name}.bin").write_bytes(records.tobytes())
    return folder


def test_gap_in_the_labels_of_cifar_is_named(tmp_path: Path) -> None:
    labels = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 8])
    with pytest.raises(ValueError, match=r"class 'truck' has 0 images in .*\(training\)"):
        load("cifar10-binary", cifar_binary(tmp_path, labels))
    assert len(load("cifar10-binary", cifar_binary(tmp_path, np.arange(10))).train_labels) == 50
    (tmp_path / "test_batch.bin").write_bytes((tmp_path / "test_batch.bin").read_bytes()[:-3073])
    with pytest.raises(ValueError, match=r"class 'truck' has 0 images in .*\(test\)"):
        load("cifar10-binary", tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({b"labels": [2**70] * 10}, "data_batch_3 has labels that are not from 0 to 9"),
        ({b"labels": [-1] * 10}, "data_batch_3 has labels that are not from 0 to 9"),
        ({b"labels": [0.5] * 10}, "data_batch_3 has no list of whole numbers 'labels'"),
        ({b"labels": list(range(9))}, "data_batch_3 must have 3072 bytes for each of 9 labels"),
        ({b"data": np.zeros((10, 3072))}, "data_batch_3 has no uint8 array 'data'"),
        ({b"data": np.full((10, 3072), np.nan)}, "data_batch_3 has no uint8 array 'data'"),
        ({b"labels": [], b"data": np.zeros((0, 3072), np.uint8)}, "data_batch_3 has no images"),
    ],
)
def test_fault_of_a_batch_is_named(tmp_path: Path, changed: dict[bytes, Any], message: str) -> None:
    for name in NAMES:
        data, labels = cifar_pixels(10)
        values = {b"data": data, b"labels": labels.tolist()}
        values |= changed if name == "data_batch_3" else {}
        (tmp_path / name).write_bytes(pickle.dumps(values, protocol=4))
    with pytest.raises(ValueError, match=message):
        load("cifar10-python", tmp_path)
