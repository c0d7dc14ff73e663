"""Malformed nodes are refused when the session is made, by name, and never crash the process."""

import json
import subprocess
import sys

import pytest

from tests.latency.kernels.malformed import CASES


@pytest.fixture(scope="module")
def messages() -> dict[str, str]:
    """Return {case: message of the error, or "loaded"} from a process of its own."""
    answer = subprocess.run(
        [sys.executable, "-m", "tests.latency.kernels.malformed"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    return dict(json.loads(line) for line in answer.stdout.splitlines())


@pytest.mark.parametrize("case", CASES)
def test_error_names_the_node(messages: dict[str, str], case: str) -> None:
    assert "the-node" in messages[case]
    assert CASES[case].message in messages[case]
