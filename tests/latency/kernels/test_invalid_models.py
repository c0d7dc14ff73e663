"""Malformed nodes are refused when the session is made, by name, and never crash the process."""

import json
import subprocess
import sys

import pytest

from tests.latency.kernels.malformed import CASES


def outcomes(*arguments: str) -> dict[str, str]:
    """Return {case: message of the error, or "loaded"} from a process of its own."""
    answer = subprocess.run(
        [sys.executable, "-m", "tests.latency.kernels.malformed", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    return dict(json.loads(line) for line in answer.stdout.splitlines())


@pytest.fixture(scope="module")
def messages() -> dict[str, str]:
    return outcomes()


@pytest.mark.parametrize("case", CASES)
def test_error_names_the_node(messages: dict[str, str], case: str) -> None:
    assert "the-node" in messages[case]
    assert CASES[case].message in messages[case]


def test_random_damage_never_crashes() -> None:
    found = outcomes("300")
    assert len(found) == 300
    refused = [message for message in found.values() if message != "loaded"]
    assert len(refused) > 150
    assert all("the-node" in message for message in refused)
