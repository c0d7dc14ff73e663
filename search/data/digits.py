"""The digits of scikit-learn: 1,797 real handwritten digits, 8x8, installed with the library.

Source: UCI, Optical Recognition of Handwritten Digits (test part), by Alpaydin and Kaynak. Only the file
is read: every training begins with this, and to import the library takes longer than all else here.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from search.data.dataset import Labels, RawSplit

TEST_FRACTION = 0.2
_SPLIT_SEED = 0  # fixed: the test set is the same for every search
_FILE = Path("datasets", "data", "digits.csv.gz")  # a line has 64 pixels and the digit
_SIZE = 8


def load_digits_images() -> tuple[RawSplit, RawSplit, tuple[str, ...]]:
    """Return training and test digits, 80 to 20 in every class, and the class names.

    Raises:
        ValueError: scikit-learn is not installed.
    """
    numbers = _numbers()
    # Pixels count 0 to 16 dots; 15.9375 brings 16 to 255.
    images = np.round(numbers[:, :-1] * 15.9375).astype(np.uint8).reshape(-1, 1, _SIZE, _SIZE)
    labels = numbers[:, -1]
    test = _test_indices(labels)
    train = np.setdiff1d(np.arange(len(labels)), test)
    names = tuple(str(digit) for digit in np.unique(labels))
    return (
        RawSplit(images=images[train], labels=labels[train], where="digits (training)"),
        RawSplit(images=images[test], labels=labels[test], where="digits (test)"),
        names,
    )


def _numbers() -> npt.NDArray[np.int64]:
    """Return the file of scikit-learn: (digits, 64 pixels and the digit)."""
    library = find_spec("sklearn")
    if library is None or not library.submodule_search_locations:
        raise ValueError("dataset: digits come with scikit-learn, which is not installed")
    path = Path(library.submodule_search_locations[0]) / _FILE
    return np.loadtxt(path, dtype=np.int64, delimiter=",")


def _test_indices(labels: Labels) -> Labels:
    rng = np.random.default_rng(_SPLIT_SEED)
    chosen = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        chosen.append(members[: round(TEST_FRACTION * len(members))])
    return np.sort(np.concatenate(chosen))
