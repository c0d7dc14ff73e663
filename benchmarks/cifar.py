"""CIFAR-10 in whichever layout, and parts of it that a processor can afford."""

from pathlib import Path

from search.data.batches import Examples, seeded_generator, split_examples
from search.data.cifar_files import BINARY, TRAIN_FILES
from search.requests import DatasetRef


def cifar_reference(folder: Path) -> DatasetRef:
    """Return the data set in a folder: an official layout of CIFAR-10, or class folders."""
    first = TRAIN_FILES[0]
    layouts = {f"{first}{BINARY}": "cifar10-binary", first: "cifar10-python"}
    found = (layout for name, layout in layouts.items() if (folder / name).exists())
    return DatasetRef(format=next(found, "image-folder"), path=str(folder))


def choose_part(examples: Examples, images: int, seed: int) -> Examples:
    """Return so many images, as many of each class as ever; all of them where there are no more."""
    if images >= len(examples):
        return examples
    part, _ = split_examples(examples, images / len(examples), seeded_generator(seed, "subset"))
    return part
