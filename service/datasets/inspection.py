"""What a data set asks of a network, read from its files without loading the images."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.lib import format as npy_format

from search.space.task import TaskShape

CIFAR_CLASSES = 10
CIFAR_SIZE = 32
DIGITS_TASK = TaskShape(image_channels=1, image_size=16, classes=10)  # 8x8, enlarged
_MAX_LABELS = 100_000_000


def inspect_dataset(form: str, path: Path, image_size: int | None) -> TaskShape:
    """Return the task of the data set at `path`.

    Raises:
        ValueError: nothing there, not of this form, or a size that no network takes.
    """
    if not os.access(path, os.R_OK):
        raise ValueError("the server can read nothing at this path")
    try:
        return _INSPECTORS[form](path, image_size)
    except (OSError, zipfile.BadZipFile, KeyError) as error:
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
    with zipfile.ZipFile(path) as archive:
        _, channels, height, width = _shape(archive, "train_images", dimensions=4)
        (count,) = _shape(archive, "train_labels", dimensions=1)
        if count > _MAX_LABELS:
            raise ValueError(f"more than {_MAX_LABELS} labels")
        with archive.open("train_labels.npy") as file:
            labels = npy_format.read_array(file, allow_pickle=False)
    if height != width and image_size is None:
        raise ValueError("the images are not square; give image_size to resize them")
    if not np.issubdtype(labels.dtype, np.integer) or labels.size == 0 or labels.min() < 0:
        raise ValueError("train_labels must be whole numbers from 0")
    return TaskShape(
        image_channels=channels, image_size=image_size or height, classes=int(labels.max()) + 1
    )


def _shape(archive: zipfile.ZipFile, name: str, *, dimensions: int) -> tuple[int, ...]:
    """Return the shape of one array from its header."""
    with archive.open(f"{name}.npy") as file:
        read = {
            (1, 0): npy_format.read_array_header_1_0,
            (2, 0): npy_format.read_array_header_2_0,
        }[npy_format.read_magic(file)]
        shape: tuple[int, ...] = read(file)[0]
    if len(shape) != dimensions:
        raise ValueError(f"{name} must have {dimensions} dimensions, it has {len(shape)}")
    return shape


_INSPECTORS: dict[str, Callable[[Path, int | None], TaskShape]] = {
    "cifar10-binary": _cifar("data_batch_1.bin"),
    "cifar10-python": _cifar("data_batch_1"),
    "image-folder": _image_folder,
    "npz": _npz,
}
FORMATS = tuple(sorted(_INSPECTORS))
