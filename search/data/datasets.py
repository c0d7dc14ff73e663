"""load_dataset: from a reference to images in memory, for every supported format."""

from collections.abc import Callable
from pathlib import Path

from search.data.cifar import load_cifar_binary, load_cifar_python
from search.data.dataset import Dataset, RawSplit, build_dataset
from search.data.digits import load_digits_images
from search.data.image_folder import load_image_folder
from search.data.npz import load_npz
from search.data.resize import resize_split
from search.requests import DatasetRef

Splits = tuple[RawSplit, RawSplit, tuple[str, ...]]  # train, test, class names

_LOADERS: dict[str, Callable[[Path], Splits]] = {
    "cifar10-binary": load_cifar_binary,
    "cifar10-python": load_cifar_python,
    "npz": load_npz,
}


def load_dataset(reference: DatasetRef) -> Dataset:
    """Return the images of `reference`, normalised, at its image size.

    Raises:
        ValueError: the path is missing, a file is damaged or truncated, or classes differ between
            training and test; the message names the file.
    """
    if reference.format == "digits":
        train, test, names = load_digits_images()
        size = reference.image_size or 2 * train.images.shape[-1]
        return build_dataset(resize_split(train, size), resize_split(test, size), names)
    path = Path(reference.path)
    if not path.exists():
        raise ValueError(f"dataset: {path} does not exist")
    if reference.format == "image-folder":
        return build_dataset(*load_image_folder(path, reference.image_size))
    train, test, names = _LOADERS[reference.format](path)
    size = reference.image_size or train.images.shape[-1]
    return build_dataset(resize_split(train, size), resize_split(test, size), names)
