"""CIFAR-10 in its two official layouts: binary, and Python batches. 32x32 RGB, ten classes.

The Python batches are pickles. They are read by an unpickler that can build NumPy arrays and plain
values and nothing else, so a prepared file cannot run code.
"""

import io
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.data.cifar_files import BINARY, CLASS_NAMES, TEST_FILE, TRAIN_FILES
from search.data.dataset import RawSplit
from search.space.task import CIFAR10

_IMAGE_BYTES = math.prod(CIFAR10.input_shape)
_RECORD_BYTES = 1 + _IMAGE_BYTES
_WRONG_LABELS = "dataset: {} has labels that are not from 0 to 9"
_ALLOWED_GLOBALS = frozenset(
    {
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
    }
)

Batch = tuple[NDArray[np.uint8], NDArray[np.int64]]
Splits = tuple[RawSplit, RawSplit, tuple[str, ...]]


def load_cifar_binary(folder: Path) -> Splits:
    """Return the images of data_batch_1.bin to data_batch_5.bin and test_batch.bin.

    Raises:
        ValueError: a file is missing, truncated, or has a label above 9.
    """
    train = [_read_binary(folder / f"{name}{BINARY}") for name in TRAIN_FILES]
    return _splits(train, _read_binary(folder / f"{TEST_FILE}{BINARY}"), folder)


def load_cifar_python(folder: Path) -> Splits:
    """Return the images of the pickled batches data_batch_1 to data_batch_5 and test_batch.

    Raises:
        ValueError: a file is missing, damaged, or asks for more than arrays and plain values.
    """
    train = [_read_python(folder / name) for name in TRAIN_FILES]
    return _splits(train, _read_python(folder / TEST_FILE), folder)


def _splits(train: list[Batch], test: Batch, folder: Path) -> Splits:
    images = np.concatenate([batch[0] for batch in train])
    labels = np.concatenate([batch[1] for batch in train])
    return (
        RawSplit(images=images, labels=labels, where=f"{folder} (training)"),
        RawSplit(images=test[0], labels=test[1], where=f"{folder} (test)"),
        CLASS_NAMES,
    )


def _read_bytes(path: Path) -> bytes:
    if path.exists() and not path.is_file():  # a pipe would be waited for without end
        raise ValueError(f"dataset: {path} is no file")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"dataset: {path} cannot be read: {error.strerror}") from error


def _read_binary(path: Path) -> Batch:
    data = _read_bytes(path)
    if not data or len(data) % _RECORD_BYTES:
        raise ValueError(
            f"dataset: {path} is truncated: {len(data)} bytes is no multiple of {_RECORD_BYTES}"
        )
    records = np.frombuffer(data, dtype=np.uint8).reshape(-1, _RECORD_BYTES)
    return _batch(records[:, 1:], records[:, 0].astype(np.int64), path)


def _read_python(path: Path) -> Batch:
    data = _read_bytes(path)
    try:
        values = _ArrayUnpickler(io.BytesIO(data), encoding="latin1").load()
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise ValueError(f"dataset: {path} is not a CIFAR-10 batch: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"dataset: {path} is not a CIFAR-10 batch: no dictionary in it")
    named = {
        key.decode() if isinstance(key, bytes) else key: value for key, value in values.items()
    }
    pixels, labels = named.get("data"), named.get("labels")
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 2:
        raise ValueError(f"dataset: {path} has no uint8 array 'data'")
    if not isinstance(labels, list) or not all(isinstance(label, int) for label in labels):
        raise ValueError(f"dataset: {path} has no list of whole numbers 'labels'")
    if not all(0 <= label < len(CLASS_NAMES) for label in labels):  # some are too large for NumPy
        raise ValueError(_WRONG_LABELS.format(path))
    return _batch(pixels, np.array(labels, dtype=np.int64), path)


def _batch(pixels: NDArray[np.uint8], labels: NDArray[np.int64], path: Path) -> Batch:
    if pixels.shape != (len(labels), _IMAGE_BYTES):
        raise ValueError(
            f"dataset: {path} must have {_IMAGE_BYTES} bytes for each of {len(labels)} labels, "
            f"got {pixels.shape}"
        )
    if len(labels) == 0:
        raise ValueError(f"dataset: {path} has no images")
    if labels.max() >= len(CLASS_NAMES):
        raise ValueError(_WRONG_LABELS.format(path))
    return np.array(pixels.reshape(-1, *CIFAR10.input_shape)), labels


class _ArrayUnpickler(pickle.Unpickler):
    """Builds NumPy arrays of numbers and plain values; refuses every other global."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return _encode_latin1
        if (module, name) not in _ALLOWED_GLOBALS:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _encode_latin1(text: str, encoding: str) -> bytes:
    """Return the bytes of an array that Python 2 pickled as text."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding!r} is not allowed")
    return text.encode("latin1")
