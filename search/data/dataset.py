"""Dataset: the images and labels of a classification task, normalised, in memory."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from search.data.class_counts import LEAST_TEST, LEAST_TRAIN, check_labels
from search.data.limits import check_memory
from search.space.task import TaskShape

Pixels = NDArray[np.uint8]  # (N, channels, height, width), 0 to 255
Labels = NDArray[np.int64]  # (N,)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A task with its training and test images, normalised per channel by the training images."""

    train_images: Tensor  # (N, C, H, W) float32
    train_labels: Tensor  # (N,) int64
    test_images: Tensor
    test_labels: Tensor
    class_names: tuple[str, ...]
    mean: tuple[float, ...]  # per channel, of pixels scaled to 0 to 1
    std: tuple[float, ...]

    @property
    def task(self) -> TaskShape:
        """Shape of the images and number of classes."""
        _, channels, size, _ = self.train_images.shape
        return TaskShape(image_channels=channels, image_size=size, classes=len(self.class_names))

    def to(self, device: torch.device) -> "Dataset":
        """Return the data set with its images and labels on a device: there a training computes."""
        return replace(
            self,
            train_images=self.train_images.to(device),
            train_labels=self.train_labels.to(device),
            test_images=self.test_images.to(device),
            test_labels=self.test_labels.to(device),
        )

    def sha256(self) -> str:
        """Return the digest of all images, as normalised, and labels: training first, then test."""
        digest = hashlib.sha256()
        for tensor in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            digest.update(np.ascontiguousarray(tensor.cpu().numpy()).data)
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class RawSplit:
    """Images and labels as a file has them; `where` names it in messages.

    Raises:
        ValueError: no images, images that are not square, or labels that do not fit.
    """

    images: Pixels
    labels: Labels
    where: str

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or len(self.images) == 0:
            raise ValueError(f"dataset: {self.where} has no images")
        if 0 in self.images.shape:
            raise ValueError(f"dataset: images in {self.where} have no pixels")
        if self.images.shape[2] != self.images.shape[3]:
            size = f"{self.images.shape[3]}x{self.images.shape[2]}"
            raise ValueError(f"dataset: images in {self.where} must be square, got {size}")
        if len(self.images) != len(self.labels):
            raise ValueError(
                f"dataset: {self.where} has {len(self.images)} images but {len(self.labels)} labels"
            )


def build_dataset(train: RawSplit, test: RawSplit, class_names: tuple[str, ...]) -> Dataset:
    """Return the data set with all images normalised by the mean and deviation of `train`.

    Raises:
        ValueError: the two splits have other shapes or classes, a class has too few images, or
            the images are of a size that no network takes.
    """
    if train.images.shape[1:] != test.images.shape[1:]:
        raise ValueError(
            f"dataset: training images are {train.images.shape[1:]}, "
            f"test images {test.images.shape[1:]}"
        )
    check_labels(train.labels, class_names, train.where, LEAST_TRAIN)
    check_labels(test.labels, class_names, test.where, LEAST_TEST)
    _check_task(train, len(class_names))
    mean, std = _statistics(train.images)
    return Dataset(
        train_images=_normalise(train.images, mean, std),
        train_labels=torch.from_numpy(train.labels.copy()),
        test_images=_normalise(test.images, mean, std),
        test_labels=torch.from_numpy(test.labels.copy()),
        class_names=class_names,
        mean=tuple(mean.tolist()),
        std=tuple(std.tolist()),
    )


def _check_task(train: RawSplit, classes: int) -> None:
    images, channels, size, _ = train.images.shape
    try:
        TaskShape(image_channels=channels, image_size=size, classes=classes)
    except ValueError as error:
        raise ValueError(f"dataset: {train.where}: {error}") from error
    check_memory(images, channels, size, train.where)


def _statistics(images: Pixels) -> tuple[Tensor, Tensor]:
    """Return mean and deviation per channel, from counts of the 256 values, so exactly."""
    values = np.arange(256) / 255.0
    counts = [np.bincount(images[:, c].ravel(), minlength=256) for c in range(images.shape[1])]
    shares = np.stack(counts) / (images.size // images.shape[1])
    mean = shares @ values
    variance = shares @ values**2 - mean**2
    std = np.sqrt(np.maximum(variance, 1e-8))  # an empty channel stays finite
    return torch.tensor(mean, dtype=torch.float32), torch.tensor(std, dtype=torch.float32)


def _normalise(images: Pixels, mean: Tensor, std: Tensor) -> Tensor:
    scaled = torch.from_numpy(images).float().div_(255.0)
    return scaled.sub_(mean.view(1, -1, 1, 1)).div_(std.view(1, -1, 1, 1))
