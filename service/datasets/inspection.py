"""What a data set asks of a network, read from its files without loading the images."""

import os
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

from search.space.task import TaskShape

CIFAR_CLASSES = 10
CIFAR_SIZE = 32
DIGITS_TASK = TaskShape(image_channels=1, image_size=16, classes=10)  # 8x8, enlarged
_MAX_LABELS = 10_000_000
# What a damaged or hostile archive makes zipfile and NumPy raise, ValueError apart.
_UNREADABLE = (
    OSError,
    EOFError,
    KeyError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TypeError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def inspect_dataset(form: str, path: Path, image_size: int | None) -> TaskShape:
    """Return the task of the data set at `path`.

    Raises:
        ValueError: nothing there, not of this form, or a size that no network takes.
    """
    if not os.access(path, os.R_OK):
        raise ValueError("the server can read nothing at this path")
    try:
        return _INSPECTORS[form](path, image_size)
    except _UNREADABLE as error:
        raise ValueError(f"this cannot be read as {form}: {type(error).__name__}") from error


def _cifar(file_name: str) -> Callable[[Path, int | None], TaskShape]:
    def inspect(path: Path, image_size: int | None) -> TaskShape:
        if not (path / file_name).is_file():
            raise ValueError(f"the folder has no file {file_name}")
        size = image_size or CIFAR_SIZE
        return TaskShape(image_channels=3, image_size=size, classes=CIFAR_CLASSES)

    return inspect


def _image_folder(path: Path, image_size: int | None) -> TaskShape:
    if image_size is None:
        raise ValueError("an image folder needs image_size: its images are resized to one size")
    for part in ("train", "test"):
        if not (path / part).is_dir():
            raise ValueError(f"the folder has no folder {part}/ with one folder for each class")
    classes = sum(1 for entry in (path / "train").iterdir() if entry.is_dir())
    return TaskShape(image_channels=3, image_size=image_size, classes=classes)


def _npz(path: Path, image_size: int | None) -> TaskShape:
    """As `search.data.npz` reads it: images (N, height, width) or (N, height, width, channels)."""
    if not path.is_file():
        raise ValueError("an npz data set is a file")
    with zipfile.ZipFile(path) as archive:
        shape, pixels = _header(archive, "train_images", "x_train")
        (count, *more), kind = _header(archive, "train_labels", "y_train")
        if len(shape) not in (3, 4) or pixels != np.uint8:
            raise ValueError(
                "train_images must be uint8, (N, height, width) or (N, height, width, channels)"
            )
        if not np.issubdtype(kind, np.integer) or more not in ([], [1]) or count > _MAX_LABELS:
            raise ValueError(f"train_labels must be at most {_MAX_LABELS} whole numbers (N,)")
        with archive.open(_member(archive, "train_labels", "y_train")) as file:
            labels = npy_format.read_array(file, allow_pickle=False)
        named = "class_names.npy" in archive.namelist()
        names = _header(archive, "class_names")[0] if named else ()
    height, width = shape[1:3]
    if height != width:
        raise ValueError("the images must be square")
    if labels.size == 0 or labels.min() < 0:
        raise ValueError("train_labels must be whole numbers from 0")
    return TaskShape(
        image_channels=1 if len(shape) == 3 else shape[3],
        image_size=image_size or height,
        classes=names[0] if names else int(labels.max()) + 1,
    )


def _member(archive: zipfile.ZipFile, *names: str) -> str:
    """Return the file of the first of these arrays that the archive has."""
    members = archive.namelist()
    found = next((f"{name}.npy" for name in names if f"{name}.npy" in members), None)
    if found is None:
        raise ValueError(f"there is no array {names[0]}")
    return found


def _header(archive: zipfile.ZipFile, *names: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type of one array from its header."""
    with archive.open(_member(archive, *names)) as file:
        read = {
            (1, 0): npy_format.read_array_header_1_0,
            (2, 0): npy_format.read_array_header_2_0,
        }[npy_format.read_magic(file)]
        shape, _, kind = read(file)
    if len(shape) == 0:
        raise ValueError(f"{names[0]} is a single value")
    return shape, kind


_INSPECTORS: dict[str, Callable[[Path, int | None], TaskShape]] = {
    "cifar10-binary": _cifar("data_batch_1.bin"),
    "cifar10-python": _cifar("data_batch_1"),
    "image-folder": _image_folder,
    "npz": _npz,
}
FORMATS = tuple(sorted(_INSPECTORS))
