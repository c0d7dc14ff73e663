"""Seeded batches: which images come when depends on the seed and the epoch and nothing else.

So an epoch that is run again after a crash sees the same batches, without any stored state.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of training images."""

    shift: int = 0  # pixels of zero padding before a random crop of the old size
    flip: bool = False  # mirror half of the images; wrong for digits and letters


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Images with labels: (N, C, H, W) and (N,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Tensor) -> "Examples":
        """Return the examples at `indices`."""
        return Examples(images=self.images[indices], labels=self.labels[indices])

    def sample(self, count: int) -> "Examples":
        """Return `count` examples, always the same, or all of them where there are fewer.

        In no order: an image folder has one class after the other, so its first images are all of
        the first class.
        """
        order = torch.randperm(len(self), generator=seeded_generator(0, "sample"))
        return self.subset(order[:count].to(self.labels.device))


def seeded_generator(seed: int, *purpose: str | int) -> torch.Generator:
    """Return a generator of its own for one purpose, such as ("weights", epoch)."""
    text = "/".join([str(seed), *map(str, purpose)])
    digest = hashlib.sha256(text.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def split_examples(
    examples: Examples, fraction: float, generator: torch.Generator
) -> tuple[Examples, Examples]:
    """Return two disjoint parts with the same mix of classes; the first has `fraction`.

    Both have at least one image of every class, so the first may have more where they are few.

    Raises:
        ValueError: a class has a single image.
    """
    first: list[Tensor] = []
    second: list[Tensor] = []
    for label in torch.bincount(examples.labels).nonzero().flatten().tolist():
        members = (examples.labels == label).nonzero().flatten()
        if len(members) == 1:
            raise ValueError(
                f"dataset: class {label} has 1 image; to split it, at least 2 are needed"
            )
        shuffled = members[torch.randperm(len(members), generator=generator)]
        cut = min(max(1, round(fraction * len(shuffled))), len(shuffled) - 1)
        first.append(shuffled[:cut])
        second.append(shuffled[cut:])
    parts = [torch.cat(part).sort().values for part in (first, second)]
    return examples.subset(parts[0]), examples.subset(parts[1])


def batches(
    examples: Examples,
    size: int,
    generator: torch.Generator,
    augmentation: Augmentation | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield every full batch of one shuffled epoch; a single batch where there are fewer images.

    The last images that fill no batch are left out: they are others in every epoch.
    """
    order = torch.randperm(len(examples), generator=generator).to(examples.labels.device)
    size = min(size, len(examples))
    for start in range(0, len(examples) - size + 1, size):
        chosen = order[start : start + size]
        images = examples.images[chosen]
        if augmentation is not None:
            images = augment(images, augmentation, generator)
        yield images, examples.labels[chosen]


def augment(images: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """Return the images shifted and mirrored at random, each on its own."""
    count, device = len(images), images.device
    if augmentation.flip:
        mirrored = (torch.rand(count, generator=generator) < 0.5).view(-1, 1, 1, 1).to(device)
        images = torch.where(mirrored, images.flip(3), images)
    if augmentation.shift:
        reach = augmentation.shift
        height, width = images.shape[2:]
        padded = F.pad(images, (reach, reach, reach, reach))
        offsets = torch.randint(0, 2 * reach + 1, (count, 2), generator=generator).to(device)
        rows = offsets[:, :1] + torch.arange(height, device=device)
        columns = offsets[:, 1:] + torch.arange(width, device=device)
        index = torch.arange(count, device=device).view(-1, 1, 1)
        shifted = padded.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]]
        images = shifted.permute(0, 3, 1, 2)
    return images
