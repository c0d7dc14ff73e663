"""The digits of scikit-learn: 1,797 real handwritten digits, 8x8, installed with the library.

Source: UCI, Optical Recognition of Handwritten Digits (test part), by Alpaydin and Kaynak.
"""

import numpy as np
from sklearn.datasets import load_digits

from search.data.dataset import Labels, RawSplit

TEST_FRACTION = 0.2
_SPLIT_SEED = 0  # fixed: the test set is the same for every search


def load_digits_images() -> tuple[RawSplit, RawSplit, tuple[str, ...]]:
    """Return training and test digits, 80 to 20 in every class, and the class names."""
    bunch = load_digits()
    # Pixels count 0 to 16 dots; 15.9375 brings 16 to 255.
    images = np.round(bunch.images * 15.9375).astype(np.uint8)[:, None]
    labels = bunch.target.astype(np.int64)
    test = _test_indices(labels)
    train = np.setdiff1d(np.arange(len(labels)), test)
    names = tuple(str(name) for name in bunch.target_names)
    return (
        RawSplit(images=images[train], labels=labels[train], where="digits (training)"),
        RawSplit(images=images[test], labels=labels[test], where="digits (test)"),
        names,
    )


def _test_indices(labels: Labels) -> Labels:
    rng = np.random.default_rng(_SPLIT_SEED)
    chosen = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        chosen.append(members[: round(TEST_FRACTION * len(members))])
    return np.sort(np.concatenate(chosen))
