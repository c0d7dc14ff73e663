"""The unit of systemd: right for any name and folder, judged by systemd where there is one."""

import os
import pwd
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from latency.agent.errors import AgentError
from latency.agent.service_unit import ENVIRONMENT_FILE, Service, install, service_of
from latency.agent.state import IDENTITY_FILE, Identity, save_identity
from latency.target import CPU
from tests.latency_agent.fake_server import AGENT_TOKEN
from tests.latency_agent.test_process import call

NOBODY = 65_534  # whom systemd lets run nothing
SOMEBODY = os.geteuid() or next(
    one.pw_uid for one in pwd.getpwall() if one.pw_uid not in (0, NOBODY)
)


def joined(state_dir: Path, name: str = "cam a", provider: str = CPU) -> Path:
    """Return a state folder as `join` leaves it for another user than root."""
    save_identity(
        state_dir,
        Identity(server="http://a", device_id="d", token=AGENT_TOKEN, name=name, provider=provider),
    )
    os.chown(state_dir / IDENTITY_FILE, SOMEBODY, -1)
    return state_dir


def settings(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def words(line: str) -> list[str]:
    """Return what systemd makes of a command line."""
    return [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(line)]


@pytest.mark.parametrize("folder", ["state", "my state", 'a"b', "back\\slash", "50%n", "$HOME"])
def test_the_agent_is_started_with_its_folder_whatever_that_is_called(
    tmp_path: Path, folder: str
) -> None:
    state_dir = joined(tmp_path / folder)
    found = settings(service_of(state_dir).text)
    (command,) = found["ExecStart"]
    expected = [sys.executable, "-m", "latency.agent", "run", "--state-dir", str(state_dir)]
    assert words(command) == expected
    (writable,) = found["ReadWritePaths"]
    assert shlex.split(writable)[0].replace("%%", "%") == str(state_dir)
    environment = str(state_dir / ENVIRONMENT_FILE).replace("%", "%%")
    assert found["EnvironmentFile"] == [f"-{environment}"]


def test_the_unit_holds_no_secret_and_ends_for_good_when_the_token_is_revoked(
    tmp_path: Path,
) -> None:
    service = service_of(joined(tmp_path / "state", name="cam/a %h"))
    assert service.name == "edgewright-agent-cam-a--h.service"
    assert AGENT_TOKEN not in service.text
    found = settings(service.text)
    assert found["Description"] == ["Edgewright device agent cam/a %%h"]
    assert found["RestartPreventExitStatus"] == ["3"]
    assert found["OOMPolicy"] == ["continue"]  # a model that takes all memory ends its child only


def test_only_an_agent_of_the_processor_goes_without_devices(tmp_path: Path) -> None:
    assert "PrivateDevices=yes" in service_of(joined(tmp_path / "state")).text
    other = joined(tmp_path / "other", provider="CUDAExecutionProvider")
    assert "PrivateDevices" not in service_of(other).text


def asked(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_systemd_takes_the_unit_and_finds_it_little_exposed(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("there is no systemd here to ask")
    service = service_of(joined(tmp_path / "my state"))
    unit = tmp_path / service.name
    unit.write_text(service.text)
    verified = asked(analyze, "verify", str(unit))
    assert service.name not in verified.stderr, verified.stderr
    exposed = asked(analyze, "security", "--offline=yes", "--threshold=25", str(unit))
    assert exposed.returncode == 0, exposed.stdout + exposed.stderr


def test_a_folder_without_an_identity_and_one_of_root_are_refused(tmp_path: Path) -> None:
    answer = call("install-service", "--state-dir", str(tmp_path))
    assert answer.returncode == 1
    assert "run `edgewright-agent join` first" in answer.stderr
    if os.geteuid() == 0:
        state_dir = joined(tmp_path / "state")
        os.chown(state_dir / IDENTITY_FILE, 0, -1)
        answer = call("install-service", "--state-dir", str(state_dir))
        assert answer.returncode == 1
        assert "belongs to root" in answer.stderr


def test_the_unit_can_be_shown_and_nothing_is_changed(tmp_path: Path) -> None:
    state_dir = joined(tmp_path / "state")
    answer = call("install-service", "--print", "--state-dir", str(state_dir))
    assert answer.stdout == service_of(state_dir).text


def systemctl(folder: Path, ends_with: int) -> str:
    """Make a systemctl that writes down what it is asked for; returns a PATH with it."""
    program = folder / "systemctl"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {folder}/asked\necho no bus >&2\nexit {ends_with}\n'
    )
    program.chmod(0o755)
    return str(folder)


def test_installing_writes_the_unit_and_starts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", systemctl(tmp_path, 0), prepend=os.pathsep)
    path = install(Service(name="x.service", text="[Unit]\n"), tmp_path)
    assert path.read_text() == "[Unit]\n"
    assert path.stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "asked").read_text().splitlines() == [
        "daemon-reload",
        "enable --now x.service",
    ]


def test_what_systemctl_says_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", systemctl(tmp_path, 1), prepend=os.pathsep)
    with pytest.raises(AgentError, match="systemctl daemon-reload: no bus"):
        install(Service(name="x.service", text="[Unit]\n"), tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(AgentError, match="no systemctl here"):
        install(Service(name="x.service", text="[Unit]\n"), tmp_path)
