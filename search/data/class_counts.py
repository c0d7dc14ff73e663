"""How many images a class must have, and that labels count classes from 0 without gaps. No torch."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LEAST_TRAIN = 2  # a class is split twice: into the halves of the search, and off the validation
LEAST_TEST = 1
_WHY = {
    LEAST_TRAIN: (
        ": both halves of the search, and training and validation, need images of every class"
    ),
    LEAST_TEST: "",
}


def check_count(name: str, count: int, where: str, least: int) -> None:
    """Refuse a class with fewer images than `least`, LEAST_TRAIN or LEAST_TEST.

    Raises:
        ValueError: there are fewer; the message has the name of the class.
    """
    if count < least:
        images = "1 image" if count == 1 else f"{count} images"
        raise ValueError(
            f"dataset: class {name!r} has {images} in {where}; at least {least} "
            f"{'is' if least == 1 else 'are'} needed{_WHY[least]}"
        )


def check_labels(labels: NDArray[np.integer], names: Sequence[str], where: str, least: int) -> None:
    """Refuse labels that are not of these classes, and classes with fewer images than `least`.

    Args:
        labels: (N,), one a picture.
        names: of the classes that the labels 0, 1, ... stand for.
        where: names the labels in messages.
        least: LEAST_TRAIN or LEAST_TEST.

    Raises:
        ValueError: what is wrong; the message names the label or the class.
    """
    if len(names) < 2:
        raise ValueError(f"dataset: {where} has one class only; there must be at least two")
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0:
        raise ValueError(f"dataset: {where} has a negative label; labels count classes from 0")
    if highest >= len(names):
        raise ValueError(
            f"dataset: {where} has label {highest}, but there are {len(names)} classes: labels "
            f"must be from 0 to {len(names) - 1}"
        )
    counts = np.bincount(labels.astype(np.int64), minlength=len(names))
    for label in np.flatnonzero(counts < least)[:1]:
        check_count(names[label], int(counts[label]), where, least)


def unnamed_classes(labels: Sequence[NDArray[np.integer]], where: str) -> tuple[str, ...]:
    """Return names for classes that have none: their labels.

    Args:
        labels: of training and test images.
        where: names them in messages.

    Raises:
        ValueError: the highest label is so high that there must be gaps.
    """
    highest = max(int(part.max()) for part in labels)
    images = sum(len(part) for part in labels)
    if highest >= images:
        raise ValueError(
            f"dataset: {where} has label {highest} but {images} labels only: labels must count the "
            "classes from 0 without gaps"
        )
    return tuple(str(label) for label in range(highest + 1))
