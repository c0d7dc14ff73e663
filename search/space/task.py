"""TaskShape: what a classification task asks of a network: the image and the classes."""

from dataclasses import dataclass

MAX_IMAGE_SIZE = 1024


@dataclass(frozen=True, kw_only=True)
class TaskShape:
    """Image and classes of a task. Images are square.

    Raises:
        ValueError: a number is out of range, or the image cannot be halved twice.
    """

    image_channels: int
    image_size: int  # height and width, pixels
    classes: int

    def __post_init__(self) -> None:
        if not 1 <= self.image_channels <= 64:
            raise ValueError(
                f"task: image_channels must be from 1 to 64, got {self.image_channels}"
            )
        if self.image_size % 4 or not 8 <= self.image_size <= MAX_IMAGE_SIZE:
            raise ValueError(
                f"task: image_size must be a multiple of 4 from 8 to {MAX_IMAGE_SIZE}, "
                f"got {self.image_size}"
            )
        if not 2 <= self.classes <= 65_536:
            raise ValueError(f"task: classes must be from 2 to 65536, got {self.classes}")

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of one image: (channels, height, width)."""
        return (self.image_channels, self.image_size, self.image_size)


CIFAR10 = TaskShape(image_channels=3, image_size=32, classes=10)
IMAGENET = TaskShape(image_channels=3, image_size=224, classes=1000)
