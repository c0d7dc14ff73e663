"""One search for two devices, by real processes: from no table at all to a certificate for both.

The devices are this machine with one thread and with two, which are different targets.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.client import Client
from service.jobs.schemas import JobRead
from service.lifecycle import JobState
from tests.end_to_end.installation import Installation

pytestmark = [pytest.mark.two_boards, pytest.mark.timeout(3600)]

BOARDS = {"one-thread": 1, "two-threads": 2}
BUDGETS_MS = {"one-thread": 50.0, "two-threads": 40.0}
CONTROLS = ["random", "dense", "int8", "random-mask"]
FRONT = 3


@pytest.fixture(scope="module")
def client(installation: Installation) -> Iterator[Client]:
    with installation.start_server() as found:
        for name, threads in BOARDS.items():
            installation.start_agent(found, name, threads=threads)
        yield found


@pytest.fixture(scope="module")
def finished(installation: Installation, client: Client) -> JobRead:
    first, second = BOARDS
    job = client.search(
        first,
        BUDGETS_MS[first],
        also=[{"device": second, "budget_ms": BUDGETS_MS[second]}],
        recipe="tiny",
        channels=4,
        cells=3,
        controls=True,
        front=FRONT,
    )
    ended = client.wait(job.id, timeout_s=3000)
    assert ended.state is JobState.SUCCEEDED, f"{ended.error}\n{installation.logs()}"
    return ended


def parts_of(client: Client, job: JobRead) -> list[dict[str, Any]]:
    """Return what the certificate says of each device, in order."""
    certificate = client.candidates(job.id)[0].certificate
    return [certificate, *certificate["also"]]


def test_each_board_has_a_table_of_its_own_and_keeps_its_budget(
    client: Client, finished: JobRead
) -> None:
    parts = parts_of(client, finished)
    assert [part["device"]["name"] for part in parts] == list(BOARDS)
    assert [part["device"]["target"]["threads"] for part in parts] == list(BOARDS.values())
    assert len({part["table"]["id"] for part in parts}) == len(BOARDS)
    for part in parts:
        budget_ms = BUDGETS_MS[part["device"]["name"]]
        assert part["budget_ms"] == budget_ms
        assert part["met"] is True
        assert 0 < part["measured"]["latency_ms"] <= budget_ms
        assert part["predicted"]["high_ms"] > 0
        fingerprint = part["device"]["target_fingerprint"]
        assert part["predicted"]["target_fingerprint"] == fingerprint
        assert client.table(part["table"]["id"]).target_fingerprint == fingerprint


def test_what_each_board_alone_could_have_is_stated(client: Client, finished: JobRead) -> None:
    regret = client.candidates(finished.id)[0].certificate["regret"]
    assert {row["found_for"] for row in regret["rows"]} == {*BOARDS, "all devices"}
    assert {row["on"] for row in regret["rows"]} == set(BOARDS)


def test_every_control_is_measured_on_both_boards(client: Client, finished: JobRead) -> None:
    controls = client.candidates(finished.id)[0].certificate["controls"]
    assert [line["name"] for line in controls["controls"]] == CONTROLS
    for line in controls["controls"]:
        assert line["met"] is True
        (other,) = line["also"]
        assert other["device"] == "two-threads"
        for part, budget_ms in zip((line, other), BUDGETS_MS.values(), strict=True):
            assert 0 < part["measured"]["latency_ms"] <= budget_ms


def test_a_network_of_the_front_is_measured_and_can_be_trained_for_both_boards(
    client: Client, finished: JobRead
) -> None:
    assert finished.result is not None
    candidates = finished.result["front"]["candidates"]
    assert [one["index"] for one in candidates] == list(range(FRONT))
    assert any(one["dominated"] is False for one in candidates)
    for one in candidates:
        assert one["met"] is True
        (other,) = one["also"]
        for part, budget_ms in zip((one, other), BUDGETS_MS.values(), strict=True):
            assert 0 < part["measured"]["latency_ms"] <= budget_ms
            assert part["predicted"]["high_ms"] <= budget_ms
    first, second = BOARDS
    also = [{"device": second, "budget_ms": BUDGETS_MS[second]}]
    job = client.search(first, BUDGETS_MS[first], also=also, from_front=f"{finished.id}:0")
    ended = client.wait(job.id, timeout_s=600)
    assert ended.state is JobState.SUCCEEDED, ended.error
    parts = parts_of(client, ended)
    assert [part["device"]["name"] for part in parts] == list(BOARDS)
    assert all(part["met"] for part in parts)


def test_there_is_a_file_for_each_board(client: Client, finished: JobRead, tmp_path: Path) -> None:
    files = client.pull(finished.id, tmp_path)
    for part in parts_of(client, finished):
        digest = hashlib.sha256(files[part["file"]].read_bytes()).hexdigest()
        assert digest == part["export"]["sha256"]
    own = {f"control-{name}.onnx" for name in CONTROLS}
    assert own | {f"control-{name}-2.onnx" for name in CONTROLS} <= set(files)
