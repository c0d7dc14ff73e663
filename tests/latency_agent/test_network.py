"""What lies between a board and its server: a proxy, and authorities that nobody else knows."""

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from latency.agent.enrol import JoinRequest, join
from latency.agent.errors import UnreachableError
from latency.agent.service_api import ServiceApi, trusted_authorities
from latency.agent.state import load_identity
from latency.agent.stop import StopSignal
from latency.target import RuntimeSetting
from tests.latency_agent.fake_server import AGENT_TOKEN, ENROL_TOKEN, FakeServer, serving
from tests.latency_agent.samples import FAST, TARGET
from tests.latency_agent.test_process import call


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for this machine that is its own authority, and beside it its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl here to make a certificate with")
    folder = tmp_path_factory.mktemp("authority")
    certificate = folder / "own.pem"
    subprocess.run(
        [
            openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-subj", "/CN=fleet", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2",
            "-keyout", str(folder / "own.key"), "-out", str(certificate),
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return certificate


@pytest.fixture
def secure_server(authority: Path) -> Iterator[FakeServer]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(authority, authority.with_suffix(".key"))
    with serving(FakeServer(), tls) as state:
        yield state


def test_an_authority_of_ones_own_is_named_once_and_remembered(
    secure_server: FakeServer, authority: Path, tmp_path: Path
) -> None:
    state_dir = tmp_path / "state"
    answer = call(
        "join", "--server", secure_server.address, "--ca-file", str(authority),
        "--state-dir", str(state_dir), stdin=ENROL_TOKEN,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    identity = load_identity(state_dir)
    assert identity.ca_file == str(authority)
    answer = call("doctor", "--state-dir", str(state_dir))
    assert f"{secure_server.address} answers" in answer.stdout


def test_an_authority_that_nobody_named_is_not_trusted(secure_server: FakeServer) -> None:
    api = ServiceApi(secure_server.address, AGENT_TOKEN, FAST)
    assert not api.is_healthy()
    api.close()
    assert secure_server.requests == []


def test_what_to_do_about_an_unknown_authority_is_said(
    secure_server: FakeServer, tmp_path: Path
) -> None:
    request = JoinRequest(
        server=secure_server.address,
        enrol_token=ENROL_TOKEN,
        state_dir=tmp_path / "state",
        setting=RuntimeSetting(),
    )
    with pytest.raises(UnreachableError, match="--ca-file FILE` names the authority"):
        join(request, TARGET, FAST, StopSignal())
    assert secure_server.registrations == []


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_a_file_without_certificates_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "own.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"--ca-file .*own\.pem: no certificates in it"):
        trusted_authorities(str(path))


def test_a_proxy_of_the_environment_is_asked(server: FakeServer, tmp_path: Path) -> None:
    """The server has a name that only the proxy knows."""
    state_dir = tmp_path / "state"
    arguments = ("join", "--server", "http://fleet.invalid", "--state-dir", str(state_dir))
    answer = call(*arguments, stdin=ENROL_TOKEN, HTTP_PROXY=server.address)
    assert answer.returncode == 0, answer.stderr
    assert server.proxied == ["fleet.invalid"]
    direct = call("doctor", "--state-dir", str(state_dir))
    assert "http://fleet.invalid does not answer" in direct.stdout
    through = call("doctor", "--state-dir", str(state_dir), HTTP_PROXY=server.address)
    assert "http://fleet.invalid answers" in through.stdout


def test_a_server_beside_the_proxy_is_asked_directly(server: FakeServer, tmp_path: Path) -> None:
    arguments = ("join", "--server", server.address, "--state-dir", str(tmp_path / "state"))
    closed = "http://127.0.0.1:9"
    answer = call(*arguments, stdin=ENROL_TOKEN, HTTP_PROXY=closed, NO_PROXY="127.0.0.1")
    assert answer.returncode == 0, answer.stderr
    assert server.proxied == []
