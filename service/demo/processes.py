"""The server and the agent of the demo as child processes; found again where they already run."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from latency.agent.state import find_identity
from service.client import ApiError, Client
from service.client.connection import DEFAULT_URL
from service.devices.schemas import DeviceRead
from service.processes import spawn, stop

_READY_S = 60.0
_ONLINE_S = 60.0
_HOST = "127.0.0.1"
_AGENT = [sys.executable, "-m", "latency.agent"]
_AGAIN = "0.3"  # much less patience with a busy machine than usual: somebody waits


class DemoError(Exception):
    """The demo cannot go on; the message says why and where to look."""


@contextmanager
def running_server(data_dir: Path) -> Iterator[Client]:
    """Give a client of the server of this data folder; start one where none runs, and end it."""
    existing = _client_of(data_dir)
    if existing is not None and _answers(existing):
        yield existing
        return
    log = _log_file(data_dir, "serve")
    port = _free_port(int(DEFAULT_URL.rpartition(":")[2]))
    command = ["serve", "--data-dir", str(data_dir), "--host", _HOST, "--port", str(port)]
    child = spawn([sys.executable, "-m", "service", *command], log=log)
    try:
        yield _wait_until_ready(data_dir, port, child, log)
    finally:
        stop(child, grace_s=20)


@contextmanager
def running_agent(client: Client, data_dir: Path) -> Iterator[DeviceRead]:
    """Give this machine as an online device: enrolled at the first time, working from now on."""
    state_dir = data_dir / "agent"
    device_id = _enrol_once(client, state_dir)
    log = _log_file(data_dir, "agent")
    command = ["run", "--state-dir", str(state_dir), "--server", client.url, "--again", _AGAIN]
    child = spawn([*_AGENT, *command], log=log)
    try:
        yield _wait_until_online(client, device_id, child, log)
    finally:
        stop(child, grace_s=20)


def _enrol_once(client: Client, state_dir: Path) -> str:
    identity = find_identity(state_dir)
    known = {device.id for device in client.devices()}
    if identity is not None and identity.device_id in known:
        return identity.device_id
    environment = os.environ | {"EDGEWRIGHT_ENROL_TOKEN": client.enrol().token}
    command = ["join", "--server", client.url, "--state-dir", str(state_dir), "--replace"]
    joined = subprocess.run(
        [*_AGENT, *command], env=environment, capture_output=True, text=True, check=False
    )
    identity = find_identity(state_dir)
    if joined.returncode or identity is None:
        raise DemoError(f"this machine could not be enrolled: {joined.stderr.strip()}")
    return identity.device_id


def _wait_until_ready(
    data_dir: Path, port: int, child: "subprocess.Popen[bytes]", log: Path
) -> Client:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline and child.poll() is None:
        client = _client_of(data_dir)
        if client is not None and client.url.endswith(f":{port}") and _answers(client):
            return client
        time.sleep(0.1)
    raise DemoError(f"the server did not start; see {log}")


def _wait_until_online(
    client: Client, device_id: str, child: "subprocess.Popen[bytes]", log: Path
) -> DeviceRead:
    deadline = time.monotonic() + _ONLINE_S
    while time.monotonic() < deadline and child.poll() is None:
        device = client.device(device_id)
        if device.online:
            return device
        time.sleep(0.2)
    raise DemoError(f"the agent did not start; see {log}")


def _client_of(data_dir: Path) -> Client | None:
    try:
        url = (data_dir / "url").read_text(encoding="utf-8").strip()
        token = (data_dir / "admin-token").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return Client(url=url, token=token, attempts=1)


def _answers(client: Client) -> bool:
    """Return whether it is ready and accepts our token: another server may have the old port."""
    with contextlib.suppress(ApiError):
        return client.is_ready() and client.devices() is not None
    return False


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((_HOST, port))
                return int(probe.getsockname()[1])
    raise DemoError("no port is free")


def _log_file(data_dir: Path, name: str) -> Path:
    folder = data_dir / "logs"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder / f"{name}.log"
