"""A NumPy archive: arrays train_images, train_labels, test_images, test_labels.

Images are (N, height, width) or (N, height, width, channels), uint8; `class_names` is optional.
The names x_train, y_train, x_test, y_test are read as well.
"""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.data.class_counts import unnamed_classes
from search.data.dataset import RawSplit
from search.data.limits import check_bytes

_NAMES = {
    "train_images": "x_train",
    "train_labels": "y_train",
    "test_images": "x_test",
    "test_labels": "y_test",
}

# What NumPy raises on bytes that are no archive, a damaged one, or a plain array.
_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)


def load_npz(path: Path) -> tuple[RawSplit, RawSplit, tuple[str, ...]]:
    """Return training and test images and the class names.

    Raises:
        ValueError: not an archive of arrays, an array is missing, or has another shape or type.
    """
    if not path.is_file():
        raise ValueError(f"dataset: {path} is no file")
    try:
        # A file of our own: NumPy leaves the one that it opens to the collector on a damaged archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            _check_size(archive, path)
            arrays = {name: _read(archive, name, path) for name in _NAMES}
            names = archive.get("class_names")
    except _UNREADABLE as error:
        if str(error).startswith("dataset:"):
            raise
        raise ValueError(f"dataset: {path} is not an archive of NumPy arrays: {error}") from error
    splits = [
        RawSplit(
            images=_images(arrays[f"{part}_images"], f"{part}_images", path),
            labels=_labels(arrays[f"{part}_labels"], f"{part}_labels", path),
            where=f"{path} ({part})",
        )
        for part in ("train", "test")
    ]
    if names is None:
        class_names = unnamed_classes([split.labels for split in splits], str(path))
    elif names.ndim != 1:
        raise ValueError(
            f"dataset: class_names in {path} must be one name a class, got {names.shape}"
        )
    else:
        class_names = tuple(str(name) for name in names)
    return splits[0], splits[1], class_names


def _check_size(archive: Any, path: Path) -> None:
    """Refuse an archive whose arrays are too large, however small the file is."""
    if hasattr(archive, "zip"):
        unpacked = sum(member.file_size for member in archive.zip.infolist())
        check_bytes(unpacked, f"the arrays of {path}")


def _read(archive: Any, name: str, path: Path) -> NDArray[Any]:
    for known in (name, _NAMES[name]):
        if known in archive:
            return np.asarray(archive[known])
    raise ValueError(f"dataset: {path} has no array {name!r}; it has {sorted(archive.files)}")


def _images(array: NDArray[Any], name: str, path: Path) -> NDArray[np.uint8]:
    if array.dtype != np.uint8 or array.ndim not in (3, 4):
        raise ValueError(
            f"dataset: {name} in {path} must be uint8 (N, height, width) or "
            f"(N, height, width, channels), pixels from 0 to 255, got {array.dtype} {array.shape}"
        )
    channels_last = array[..., None] if array.ndim == 3 else array
    return np.ascontiguousarray(channels_last.transpose(0, 3, 1, 2))


def _labels(array: NDArray[Any], name: str, path: Path) -> NDArray[np.int64]:
    flat = array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array
    if flat.ndim != 1 or not np.issubdtype(flat.dtype, np.integer) or len(flat) == 0:
        raise ValueError(
            f"dataset: {name} in {path} must be whole numbers (N,), got {array.dtype} {array.shape}"
        )
    return flat.astype(np.int64)
