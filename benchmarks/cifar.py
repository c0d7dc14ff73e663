"""Where CIFAR-10 is, in whichever layout."""

from pathlib import Path

from search.data.cifar_files import BINARY, TRAIN_FILES
from search.requests import DatasetRef


def cifar_reference(folder: Path) -> DatasetRef:
    """Return the data set in a folder: an official layout of CIFAR-10, or class folders."""
    first = TRAIN_FILES[0]
    layouts = {f"{first}{BINARY}": "cifar10-binary", first: "cifar10-python"}
    found = (layout for name, layout in layouts.items() if (folder / name).exists())
    return DatasetRef(format=next(found, "image-folder"), path=str(folder))
