"""What a data set asks of a network, read from its files without loading the images.

What a training would refuse is refused here already, as far as names, headers and labels tell.
"""

import os
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from search.data import cifar_files
from search.data.class_counts import LEAST_TEST, LEAST_TRAIN, check_labels, unnamed_classes
from search.data.class_folders import find_class_folders
from search.space.task import CIFAR10, TaskShape

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
    except ValueError as error:  # files are named as seen from the data set
        raise ValueError(str(error).replace(f"{path}/", "").replace(f"{path}", "it")) from error
    except _UNREADABLE as error:
        raise ValueError(f"this cannot be read as {form}: {type(error).__name__}") from error


def _cifar(suffix: str) -> Callable[[Path, int | None], TaskShape]:
    def inspect(path: Path, image_size: int | None) -> TaskShape:
        for name in (*cifar_files.TRAIN_FILES, cifar_files.TEST_FILE):
            if not (path / f"{name}{suffix}").is_file():
                raise ValueError(f"the folder has no file {name}{suffix}")
        return replace(CIFAR10, image_size=image_size or CIFAR10.image_size)

    return inspect


def _image_folder(path: Path, image_size: int | None) -> TaskShape:
    if image_size is None:
        raise ValueError("an image folder needs image_size: its images are resized to one size")
    classes = len(find_class_folders(path).names)
    return TaskShape(image_channels=3, image_size=image_size, classes=classes)


def _npz(path: Path, image_size: int | None) -> TaskShape:
    """As `search.data.npz` reads it: images (N, height, width) or (N, height, width, channels)."""
    if not path.is_file():
        raise ValueError("an npz data set is a file")
    with zipfile.ZipFile(path) as archive:
        shape, train = _part(archive, "train")
        test_shape, test = _part(archive, "test")
        named = "class_names.npy" in archive.namelist()
        count = _count_named(archive, len(train)) if named else None
    if shape[1:] != test_shape[1:]:
        raise ValueError(f"train_images are {shape[1:]}, but test_images are {test_shape[1:]}")
    height, width = shape[1:3]
    if height != width:
        raise ValueError("the images must be square")
    if count is None:
        classes = unnamed_classes([train, test], "it")
    else:
        classes = tuple(str(label) for label in range(count))
    check_labels(train, classes, "train_labels", LEAST_TRAIN)
    check_labels(test, classes, "test_labels", LEAST_TEST)
    return TaskShape(
        image_channels=1 if len(shape) == 3 else shape[3],
        image_size=image_size or height,
        classes=len(classes),
    )


def _part(archive: zipfile.ZipFile, part: str) -> tuple[tuple[int, ...], NDArray[np.integer]]:
    """Return the shape of the training or test images, and their labels."""
    images, labels = (f"{part}_images", f"x_{part}"), (f"{part}_labels", f"y_{part}")
    shape, pixels = _header(archive, *images)
    (count, *more), kind = _header(archive, *labels)
    if len(shape) not in (3, 4) or pixels != np.uint8:
        raise ValueError(
            f"{images[0]} must be uint8, (N, height, width) or (N, height, width, channels)"
        )
    if not np.issubdtype(kind, np.integer) or more not in ([], [1]) or count > _MAX_LABELS:
        raise ValueError(f"{labels[0]} must be at most {_MAX_LABELS} whole numbers (N,)")
    if count == 0:
        raise ValueError(f"{labels[0]} is empty")
    if count != shape[0]:
        raise ValueError(f"there are {shape[0]} {images[0]} but {count} {labels[0]}")
    with archive.open(_member(archive, *labels)) as file:
        values = npy_format.read_array(file, allow_pickle=False)
    return shape, values.reshape(-1)


def _count_named(archive: zipfile.ZipFile, images: int) -> int:
    """Return how many classes have a name: the header says it, and may lie."""
    (count, *more), _ = _header(archive, "class_names")
    if more or count > images:
        raise ValueError(
            f"class_names must be one name a class, (classes,), for {images} training images; "
            f"got {(count, *more)}"
        )
    return count


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
    "cifar10-binary": _cifar(cifar_files.BINARY),
    "cifar10-python": _cifar(""),
    "image-folder": _image_folder,
    "npz": _npz,
}
FORMATS = tuple(sorted(_INSPECTORS))
