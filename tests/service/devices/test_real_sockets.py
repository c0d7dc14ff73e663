"""The agent's own HTTP client against the API in its own process, which is killed on the way."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import func, select

from latency import codec
from latency.agent.errors import AccessRevokedError, LeaseLostError, RefusedError
from latency.agent.retry import Patience
from latency.agent.service_api import ServiceApi
from latency.agent.settings import AgentSettings
from latency.agent.stop import StopSignal
from latency.messages import Chunk, Claim, Finish, Heartbeat, Outcome, Registered, Registration
from service.access.use_cases import revoke_token
from service.clock import utc_now
from service.database import Database, create_engine
from service.devices.incoming import digest_of_chunks
from service.devices.work import request_profile, work_state
from service.lifecycle import WorkState
from service.tables.measurement import MeasurementRow
from service.tables.token import TokenRow
from tests.service.board import sha256_hex
from tests.service.samples import add_job, chunk_of, profile_work, target


@dataclass
class Server:
    """One API process after the other on the same data."""

    data_dir: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start and wait until it answers."""
        program = "tests.service.devices.server_program"
        command = [sys.executable, "-m", program, str(self.data_dir), str(self.port)]
        self.process = subprocess.Popen(command)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if httpx2.get(f"{self.url}/readyz").is_success:
                    return
            except httpx2.TransportError:
                time.sleep(0.05)
        raise AssertionError("the API did not start")

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    found = Server(tmp_path / "data", port)
    found.start()
    yield found
    found.kill()


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    found = Database(create_engine(f"sqlite:///{server.data_dir / 'edgewright.db'}"))
    yield found
    found.dispose()


def patience(seconds: float = 0.0) -> Patience:
    return AgentSettings().patience(StopSignal(), seconds)


def enrol(server: Server) -> tuple[str, ServiceApi]:
    """Enrol a device with the agent's client; returns its id and its client."""
    admin = (server.data_dir / "admin-token").read_text().strip()
    answer = httpx2.post(
        f"{server.url}/v1/enrolments", headers={"Authorization": f"Bearer {admin}"}
    )
    registration = Registration(name="board", target=target(), agent_version="0.1.0")
    enroller = ServiceApi(server.url, answer.json()["token"], AgentSettings())
    registered: Registered = enroller.register(registration, patience())
    with pytest.raises(RefusedError) as caught:
        enroller.register(registration, patience())
    assert caught.value.code == "enrol-token-used"
    enroller.close()
    return registered.device_id, ServiceApi(server.url, registered.token, AgentSettings())


def test_acknowledged_chunks_survive_kill_9(server: Server, database: Database) -> None:
    device_id, api = enrol(server)
    work = profile_work(6, 0)
    with database.transaction() as session:
        job = add_job(session, utc_now())
        unit = request_profile(session, device_id, job, work, now=utc_now())
    lease = api.claim(Claim(claim_id="one", target=target()), patience()).lease
    assert lease is not None
    assert lease.profile == work
    digests = []
    whole = chunk_of(work)
    for index, measured in enumerate(whole.operators):
        chunk = Chunk(attempt=1, conditions=whole.conditions, operators=(measured,))
        body = codec.encode(chunk)
        api.put_chunk(lease.lease_id, index, body, patience(30))
        digests.append(sha256_hex(body))
        if index == 3:
            server.kill()
            with database.reading() as session:
                stored = session.scalar(select(func.count()).select_from(MeasurementRow))
            assert stored == index + 1
            server.start()
    beat = Heartbeat(attempt=1, done=6, total=6)
    assert api.heartbeat(lease.lease_id, beat, patience(30)).cancelled is False
    finish = Finish(attempt=1, outcome=Outcome.DONE, chunks=6, digest=digest_of_chunks(digests))
    for _ in range(2):
        assert api.finish(lease.lease_id, finish, patience(30)).digest == finish.digest
    assert api.claim(Claim(claim_id="two", target=target()), patience(30)).lease is None
    server.kill()
    with database.reading() as session:
        assert work_state(session, unit) == (WorkState.DONE, "")
    api.close()


def test_the_agent_understands_refusals(server: Server, database: Database) -> None:
    device_id, api = enrol(server)
    assert api.is_healthy()
    with pytest.raises(LeaseLostError):
        api.heartbeat("0" * 32, Heartbeat(attempt=1, done=0, total=1), patience())
    with pytest.raises(RefusedError) as refused:
        api.claim(Claim(claim_id="", target=target()), patience())
    assert refused.value.status == 422
    with database.transaction() as session:
        token = session.scalars(select(TokenRow).where(TokenRow.device_id == device_id)).one()
        revoke_token(session, token.id, utc_now())
    with pytest.raises(AccessRevokedError) as revoked:
        api.claim(Claim(claim_id="x", target=target()), patience())
    assert revoked.value.code == "token-revoked"
    api.close()
