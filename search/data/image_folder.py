"""A folder of images: train/<class>/<image> and test/<class>/<image>, PNG or JPEG.

Images are read as RGB. A symbolic link is followed like any file.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from search.data.dataset import RawSplit

SUFFIXES = (".png", ".jpg", ".jpeg")


def load_image_folder(
    folder: Path, image_size: int | None
) -> tuple[RawSplit, RawSplit, tuple[str, ...]]:
    """Return training and test images and the class names, sorted.

    Args:
        folder: holds `train` and `test`.
        image_size: pixels per side after resizing; None where all images have one square size.

    Raises:
        ValueError: a folder is missing or empty, classes differ, an image is damaged or has
            another size; the message names the file.
    """
    names = _class_names(folder / "train")
    test_names = _class_names(folder / "test")
    if names != test_names:
        differing = sorted(set(names) ^ set(test_names))
        raise ValueError(
            f"dataset: {folder} has other classes in train than in test: {differing[:5]}"
        )
    train = _read_split(folder / "train", names, image_size)
    size = image_size or train.images.shape[-1]
    return train, _read_split(folder / "test", names, size, resize=image_size is not None), names


def _class_names(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise ValueError(f"dataset: folder {folder} is missing")
    names = tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir()))
    if len(names) < 2:
        raise ValueError(f"dataset: {folder} needs a folder for each of at least two classes")
    return names


def _read_split(
    folder: Path, names: tuple[str, ...], size: int | None, *, resize: bool = True
) -> RawSplit:
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        found = sorted(
            p for p in (folder / name).iterdir() if p.suffix.lower() in SUFFIXES and p.is_file()
        )
        if not found:
            raise ValueError(f"dataset: {folder / name} has no images {SUFFIXES}")
        files += found
        labels += [label] * len(found)
    resize = resize and size is not None
    size = size or _read_image(files[0], None).shape[0]
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


def _read_image(path: Path, size: int | None) -> NDArray[np.uint8]:
    """Return (height, width, 3)."""
    try:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
            if size is not None and image.size != (size, size):
                image = image.resize((size, size), Image.Resampling.BILINEAR)
            return np.asarray(image, dtype=np.uint8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"dataset: {path} is not a readable image: {error}") from error
