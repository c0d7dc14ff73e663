"""A folder of images: train/<class>/<image> and test/<class>/<image>, PNG or JPEG.

Images are read as RGB: grey ones get three equal channels, transparency is dropped.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from search.data.class_folders import find_class_folders, image_files
from search.data.dataset import RawSplit
from search.data.limits import MOST_PIXELS, check_memory

_FORMATS = ("PNG", "JPEG")  # no other decoder sees the file, whatever its name says
_DEEP_MODES = ("I", "F")  # first letters of Pillow's modes with more than 8 bits a channel


def load_image_folder(
    folder: Path, image_size: int | None
) -> tuple[RawSplit, RawSplit, tuple[str, ...]]:
    """Return training and test images and the class names, sorted.

    Args:
        folder: holds `train` and `test`.
        image_size: pixels per side after resizing; None where all images have one square size.

    Raises:
        ValueError: a folder is missing or has too few images, classes differ, an image is damaged
            or has another size; the message names the file.
    """
    classes = find_class_folders(folder)
    train = _read_split(folder / "train", classes.train, image_size)
    size = image_size or train.images.shape[-1]
    test = _read_split(folder / "test", classes.test, size, resize=image_size is not None)
    return train, test, classes.names


def _read_split(
    folder: Path, classes: Sequence[Path], size: int | None, *, resize: bool = True
) -> RawSplit:
    files: list[Path] = []
    labels: list[int] = []
    for label, class_folder in enumerate(classes):
        found = sorted(image_files(class_folder))
        files += found
        labels += [label] * len(found)
    resize = resize and size is not None
    size = size or _side(files[0])
    check_memory(len(files), 3, size, str(folder))
    images = np.empty((len(files), 3, size, size), dtype=np.uint8)
    for index, path in enumerate(files):
        image = _read_image(path, size if resize else None)
        if image.shape[:2] != (size, size):
            raise ValueError(
                f"dataset: {path} is {image.shape[1]}x{image.shape[0]}, others are {size}x{size}; "
                "give image_size to resize all"
            )
        images[index] = image.transpose(2, 0, 1)
    return RawSplit(images=images, labels=np.array(labels, dtype=np.int64), where=str(folder))


def _side(path: Path) -> int:
    """Return the size that all images must have: that of the first, which must be square."""
    shape: tuple[int, ...] = _read_image(path, None).shape
    height, width, _ = shape
    if height != width:
        raise ValueError(
            f"dataset: {path} is {width}x{height}, not square; give image_size to resize all"
        )
    return height


def _read_image(path: Path, size: int | None) -> NDArray[np.uint8]:
    """Return (height, width, 3)."""
    try:
        with warnings.catch_warnings():
            # Only a warning between one and two times Pillow's limit, which is above ours.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _decode(path, size)
    except Exception as error:
        raise ValueError(f"dataset: {path} is not a readable image: {error}") from error


def _decode(path: Path, size: int | None) -> NDArray[np.uint8]:
    with Image.open(path, formats=_FORMATS) as opened:
        if opened.width * opened.height > MOST_PIXELS:
            raise ValueError(
                f"{opened.width}x{opened.height} pixels, at most {MOST_PIXELS} are allowed"
            )
        if opened.mode.startswith(_DEEP_MODES):
            raise ValueError(f"more than 8 bits a channel (mode {opened.mode}), only 8 are allowed")
        image = opened.convert("RGB")
        if size is not None and image.size != (size, size):
            image = image.resize((size, size), Image.Resampling.BILINEAR)
        return np.asarray(image, dtype=np.uint8)
