"""What is refused before it is read, because it cannot fit into memory. No torch."""

import os

MOST_PIXELS = 1 << 26  # of one image file: 8192 x 8192
_BYTES_PER_PIXEL = 5  # one as it is read, four as the training needs it


def check_memory(images: int, channels: int, size: int, where: str) -> None:
    """Refuse images that need more memory than this machine has.

    Args:
        images: how many.
        channels: of each.
        size: height and width, pixels.
        where: names them in messages.

    Raises:
        ValueError: they do not fit.
    """
    shape = f"{images} images of {channels}x{size}x{size}"
    check_bytes(images * channels * size * size * _BYTES_PER_PIXEL, f"{shape} in {where}")


def check_bytes(needed: int, what: str) -> None:
    """Refuse what needs more memory than this machine has.

    Raises:
        ValueError: it does not fit.
    """
    available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > available:
        raise ValueError(
            f"dataset: {what} would need {needed / 2**30:.1f} GiB of memory, and there are "
            f"{available / 2**30:.1f}; use fewer images, or a smaller image_size"
        )
