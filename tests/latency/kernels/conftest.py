"""The tests run against the compiled library; only a machine without a compiler skips them."""

import shutil

import pytest

from latency.kernels import library_path


@pytest.fixture(scope="session", autouse=True)
def _library() -> None:
    if library_path() is not None:
        return
    if shutil.which("c++"):
        pytest.fail("the operator library was not built, though there is a compiler: make setup")
    pytest.skip("no C++ compiler, no operator library")
