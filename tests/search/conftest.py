"""Settings for every test of the search."""

import pytest
import torch


@pytest.fixture(autouse=True)
def single_thread() -> None:
    """One thread: results do not depend on the machine, and tests share it."""
    torch.set_num_threads(1)
