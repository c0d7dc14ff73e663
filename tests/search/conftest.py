"""Settings for every test of the search."""

import pytest
import torch


@pytest.fixture(autouse=True)
def single_thread() -> None:
    """One thread: results do not depend on the machine, and tests share it."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_host_lock(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training in a test does not wait for a measurement that runs on the same machine."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
