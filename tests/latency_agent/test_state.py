"""What the agent keeps about itself: whole or not at all, and for this user only."""

from pathlib import Path

import pytest

from latency.agent.enrol import JoinRequest, join
from latency.agent.errors import UnreachableError
from latency.agent.settings import default_state_dir
from latency.agent.state import (
    IDENTITY_FILE,
    Identity,
    find_identity,
    load_identity,
    save_identity,
    sole_agent,
)
from latency.agent.stop import StopSignal
from latency.files import write_atomic
from latency.target import RuntimeSetting
from tests.latency_agent.fake_server import AGENT_TOKEN, ENROL_TOKEN, FakeServer, Fault
from tests.latency_agent.samples import FAST, TARGET

SETTING = RuntimeSetting(
    threads=2, affinity=(0, 1), provider="SomeProvider", provider_options=(("cache", "1"),)
)
IDENTITY = Identity(
    server="http://a", device_id="d", token=AGENT_TOKEN, name="n", threads=2, affinity=(0, 1)
)


def test_the_identity_comes_back(tmp_path: Path) -> None:
    assert find_identity(tmp_path) is None
    save_identity(tmp_path / "new" / "folder", IDENTITY)
    assert load_identity(tmp_path / "new" / "folder") == IDENTITY
    assert AGENT_TOKEN not in repr(IDENTITY)


def test_no_identity_and_a_damaged_one_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="edgewright-agent join"):
        load_identity(tmp_path)
    (tmp_path / IDENTITY_FILE).write_text('{"server": 3}')
    with pytest.raises(ValueError, match="is damaged"):
        load_identity(tmp_path)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")
    with pytest.raises(TypeError):
        write_atomic(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["file"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_folder_is_free_again_after_the_agent(tmp_path: Path) -> None:
    with (
        sole_agent(tmp_path),
        pytest.raises(ValueError, match="another agent"),
        sole_agent(tmp_path),
    ):
        pass
    with sole_agent(tmp_path):
        pass


def request(server: str, tmp_path: Path, token: str = ENROL_TOKEN) -> JoinRequest:
    return JoinRequest(
        server=server,
        enrol_token=token,
        state_dir=tmp_path,
        setting=SETTING,
        ca_file="/etc/authority.pem",
    )


def test_joining_survives_a_busy_server_and_uses_the_hosts_name(
    server: FakeServer, tmp_path: Path
) -> None:
    server.faults = {0: Fault.BUSY, 1: Fault.PAGE_502}
    identity = join(request(server.address, tmp_path), TARGET, FAST, StopSignal())
    assert identity.name == server.registrations[0].name != ""
    assert load_identity(tmp_path) == identity
    assert identity.setting == SETTING
    assert identity.ca_file == "/etc/authority.pem"


def test_joining_gives_up_after_a_while(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError):
        join(request("http://127.0.0.1:9", tmp_path), TARGET, FAST, StopSignal())
    assert find_identity(tmp_path) is None


@pytest.mark.parametrize("token", ["", "tökén"])
def test_a_token_that_cannot_be_one_is_refused(tmp_path: Path, token: str) -> None:
    with pytest.raises(ValueError, match="token"):
        join(request("http://127.0.0.1:9", tmp_path, token), TARGET, FAST, StopSignal())


def test_the_state_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("EDGEWRIGHT_AGENT_DIR", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_state_dir() == tmp_path / "edgewright-agent"
    monkeypatch.setenv("EDGEWRIGHT_AGENT_DIR", str(tmp_path / "mine"))
    assert default_state_dir() == tmp_path / "mine"
