"""Installation: a server, its worker and an agent as real processes, surely gone afterwards."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from latency.kernels.library import ENVIRONMENT_VARIABLE
from service.client import Client
from service.client.events import Event
from service.processes import spawn, stop
from tests.python_path import python_path

DEVICE = "this-machine"  # what it calls itself


class Installation:
    """One data folder with everything that runs on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.url = f"http://127.0.0.1:{_free_port()}"
        self._environment = {
            name: value
            for name, value in os.environ.items()
            # Nothing of an installation beside this one, but the same operator library.
            if not name.startswith("EDGEWRIGHT_") or name == ENVIRONMENT_VARIABLE
        } | {"PYTHONPATH": python_path(), "EDGEWRIGHT_POLL_SECONDS": "0.3"}
        self._server: subprocess.Popen[bytes] | None = None
        self._agents: list[subprocess.Popen[bytes]] = []

    def start_server(self) -> Client:
        """Start the supervisor with API and worker; returns a client when it serves."""
        port = self.url.rpartition(":")[2]
        command = ["serve", "--data-dir", str(self.data_dir), "--port", port]
        self._server = spawn(
            [sys.executable, "-m", "service", *command],
            env=self._environment,
            log=self.folder / "serve.log",
        )
        wait_until(self._is_ready)
        token = (self.data_dir / "admin-token").read_text().strip()
        return Client(self.url, token)

    def start_agent(self, client: Client, name: str, *, threads: int = 1) -> None:
        """Enrol this machine under a name and let it work; other threads are another target."""
        state = ["--state-dir", str(self.folder / f"agent-{name}")]
        agent = [sys.executable, "-m", "latency.agent"]
        environment = self._environment | {"EDGEWRIGHT_ENROL_TOKEN": client.enrol().token}
        join = [*agent, "join", "--server", self.url, "--name", name, *state]
        join += ["--threads", str(threads)]
        joined = subprocess.run(join, env=environment, capture_output=True, text=True, check=False)
        assert joined.returncode == 0, joined.stderr
        self._agents.append(
            spawn(
                [*agent, "run", "--again", "0", *state],  # other tests never leave it alone
                env=self._environment,
                log=self.folder / f"agent-{name}.log",
            )
        )

    def kill_worker(self) -> int:
        """Kill the worker with SIGKILL, as if it had run out of memory; returns its id."""
        assert self._server is not None
        pid = next(pid for pid in _children(self._server.pid) if "worker" in command_line(pid))
        os.kill(pid, signal.SIGKILL)
        return pid

    def processes(self) -> list[int]:
        """Return every process that belongs to this installation."""
        mark = str(self.folder)
        pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
        return [
            pid
            for pid in pids
            if pid != os.getpid() and (mark in command_line(pid) or mark in _environment_of(pid))
        ]

    def wait_for_trainers(self, job_id: str) -> None:
        """Return when no process works on a job any more, as after it was cancelled."""
        wait_until(
            lambda: not any(job_id in command_line(pid) for pid in self.processes()), timeout_s=20
        )

    def stop(self) -> None:
        """End everything."""
        servers = [] if self._server is None else [self._server]
        for child in (*self._agents, *servers):
            stop(child, grace_s=30)
        self._agents, self._server = [], None

    def logs(self) -> str:
        """Return the ends of all logs, for a test that has failed."""
        files = [*self.folder.glob("*.log"), *self.data_dir.glob("work/*/*.log")]
        return "\n".join(f"== {file}\n{file.read_text()[-3000:]}" for file in files)

    def _is_ready(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/readyz").status_code == 200
        except httpx2.TransportError:
            return False


def is_epoch(event: Event) -> bool:
    """Return whether a trainer has reported an epoch."""
    return event.kind == "progress" and "epoch" in event.payload


def wait_until(condition: Callable[[], bool], timeout_s: float = 120.0) -> None:
    """Return when the condition holds; fail the test when it never does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail("waited in vain")
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _children(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(path.parent.name))
    return found


def command_line(pid: int) -> str:
    """Return the arguments of a process; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def _environment_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return ""
