from collections.abc import Iterator

import pytest
import torch

from search.layers.memory import memory_format


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("threads", "expected"), [(1, torch.channels_last), (2, torch.contiguous_format)]
)
def test_the_order_of_images_depends_on_the_threads(
    threads: int, expected: torch.memory_format
) -> None:
    torch.set_num_threads(threads)
    assert memory_format() is expected
