"""Which classes and images a folder of images has, by names alone: no image is opened, no torch.

    ROOT/train/<class>/<image>    ROOT/test/<class>/<image>    PNG or JPEG

What begins with a dot is left out: systems leave such files and folders of their own behind. A
symbolic link is followed like any file; nothing is searched deeper than a class.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from search.data.class_counts import LEAST_TEST, LEAST_TRAIN, check_count

SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True, kw_only=True)
class ClassFolders:
    """The classes, sorted by name, and where their images are."""

    names: tuple[str, ...]
    train: tuple[Path, ...]
    test: tuple[Path, ...]


def find_class_folders(root: Path) -> ClassFolders:
    """Return the classes of a folder of images.

    Raises:
        ValueError: `train` or `test` is missing, they have other classes, there are fewer than
            two, or one has too few images; the message names it.
    """
    train, test = (_named_folders(root / part) for part in ("train", "test"))
    if train.keys() != test.keys():
        differing = sorted(train.keys() ^ test.keys())
        raise ValueError(
            f"dataset: {root} has other classes in train than in test: {differing[:5]}"
        )
    for folders, least in ((train, LEAST_TRAIN), (test, LEAST_TEST)):
        for folder in folders.values():
            _check_images(folder, least)
    names = tuple(sorted(train))
    return ClassFolders(
        names=names,
        train=tuple(train[name] for name in names),
        test=tuple(test[name] for name in names),
    )


def image_files(folder: Path) -> Iterator[Path]:
    """Yield the images of one class, in no order.

    Raises:
        ValueError: a name says that it is an image, and it is no file.
    """
    for entry in _visible(folder):
        if entry.suffix.lower() in SUFFIXES:
            if not entry.is_file():
                raise ValueError(
                    f"dataset: {entry} is no file: a folder, a pipe, or a link that leads nowhere"
                )
            yield entry


def _named_folders(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise ValueError(f"dataset: folder {folder} is missing")
    found: dict[str, Path] = {}
    for entry in _visible(folder):
        if entry.is_symlink() and not entry.exists():
            raise ValueError(f"dataset: {entry} is a link that leads nowhere")
        if entry.is_dir():
            # One system writes letters with accents as one character, another as two.
            name = unicodedata.normalize("NFC", entry.name)
            if name in found:
                raise ValueError(f"dataset: {folder} has two folders of the class {name!r}")
            found[name] = entry
    if len(found) < 2:
        raise ValueError(f"dataset: {folder} needs a folder for each of at least two classes")
    return found


def _check_images(folder: Path, least: int) -> None:
    """Look at no more files than it takes: a class may have thousands."""
    files = image_files(folder)
    first = [path for path, _ in zip(files, range(least), strict=False)]
    if not first:
        raise ValueError(f"dataset: {folder} has no images {SUFFIXES}")
    check_count(folder.name, len(first), str(folder.parent), least)


def _visible(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            continue
        try:
            entry.name.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"dataset: {folder} has a name that is not UTF-8: {entry.name!a}"
            ) from error
        yield entry
