"""HTTP against a real socket: what is repeated, what is refused, what is checked."""

import io

import pytest

from latency import codec
from latency.agent.errors import (
    AccessRevokedError,
    LeaseLostError,
    RefusedError,
    UnreachableError,
)
from latency.agent.service_api import ServiceApi, checked_address, is_readable_on_the_way
from latency.agent.settings import AgentSettings
from latency.agent.stop import StopSignal
from latency.messages import Chunk, Claim, Finish, Heartbeat, Outcome
from tests.latency_agent.fake_server import AGENT_TOKEN, FakeServer, Fault, Reply, page, problem
from tests.latency_agent.samples import CONDITIONS, FAST, TARGET, profile_work

CLAIM = Claim(claim_id="claim-1", target=TARGET)
BEAT = Heartbeat(attempt=1, done=0, total=1)
BODY = codec.encode(Chunk(attempt=1, conditions=CONDITIONS))


@pytest.mark.parametrize("fault", list(Fault))
def test_a_claim_survives_every_fault_and_keeps_its_id(
    server: FakeServer, api: ServiceApi, stop: StopSignal, fault: Fault
) -> None:
    server.give(profile_work(1))
    server.faults = {0: fault, 1: fault}
    answer = api.claim(CLAIM, FAST.patience(stop))
    assert answer.lease is not None
    assert answer.lease.profile == profile_work(1)
    assert len(server.requests) == 3
    assert {claim.claim_id for claim in server.claims} == {"claim-1"}


@pytest.mark.parametrize("fault", list(Fault))
def test_a_chunk_is_only_stored_when_the_service_says_so(
    server: FakeServer, api: ServiceApi, stop: StopSignal, fault: Fault
) -> None:
    unit = server.give(profile_work(1))
    server.faults = {0: fault}
    api.put_chunk("lease-0", 0, BODY, FAST.patience(stop))
    assert len(server.requests) == 2
    assert unit.chunks == {0: BODY}


@pytest.mark.parametrize(
    ("reply", "error", "text"),
    [
        (problem(401, "token-revoked", "Revoked."), AccessRevokedError, "Revoked"),
        (problem(403, "wrong-scope", "Not an agent."), AccessRevokedError, "wrong-scope"),
        (problem(409, "lease-superseded", "Replaced."), LeaseLostError, "Replaced"),
        (problem(404, "not-found", "Not found."), LeaseLostError, "not-found"),
        (problem(409, "busy", "", discard=True), LeaseLostError, "busy"),
        (problem(422, "invalid-value", "samples"), RefusedError, "samples"),
        (problem(409, "other", "Other."), RefusedError, "other"),
        (Reply(413, b"too large"), RefusedError, "body-too-large"),
    ],
)
def test_a_final_answer_is_not_repeated(
    server: FakeServer,
    api: ServiceApi,
    stop: StopSignal,
    reply: Reply,
    error: type[RefusedError],
    text: str,
) -> None:
    server.refusals["heartbeat"] = reply
    with pytest.raises(RefusedError, match=text) as caught:
        api.heartbeat("lease-0", BEAT, FAST.patience(stop))
    assert type(caught.value) is error
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "reply",
    [
        page(401),
        page(404),
        page(500),
        Reply(302, b"", {"Location": "http://127.0.0.1:1/"}),
        problem(429, "rate-limited", "", retryable=True, retry_after=0),
        Reply(422, b'{"code": 3}', {"Content-Type": "application/problem+json"}),
        Reply(200, b'{"cancelled": "maybe"}', {"Content-Type": "application/json"}),
        Reply(200, b"\xff\xfe", {"Content-Type": "application/json"}),
    ],
)
def test_what_is_not_the_services_final_word_is_repeated(
    server: FakeServer, api: ServiceApi, stop: StopSignal, reply: Reply
) -> None:
    server.refusals["heartbeat"] = reply
    with pytest.raises(UnreachableError):
        api.heartbeat("lease-0", BEAT, FAST.patience(stop, 0.1))
    assert len(server.requests) > 1


def test_the_wait_is_at_least_retry_after(
    server: FakeServer, api: ServiceApi, stop: StopSignal
) -> None:
    server.refusals["claim"] = problem(503, "overloaded", "", retryable=True, retry_after=4)
    with pytest.raises(UnreachableError, match="overloaded") as caught:
        api.claim(CLAIM, FAST.patience(stop, 3.0))
    assert caught.value.retry_after_s == 4.0
    assert len(server.requests) == 1


def test_a_discard_is_told(server: FakeServer, api: ServiceApi, stop: StopSignal) -> None:
    for name, discard in (("lease-superseded", True), ("lease-expired", False)):
        server.refusals["finish"] = problem(409, name, "Gone.")
        finish = Finish(attempt=1, outcome=Outcome.DONE, chunks=0, digest="")
        with pytest.raises(LeaseLostError) as caught:
            api.finish("lease-0", finish, FAST.patience(stop))
        assert caught.value.discard is discard


def test_a_lease_id_cannot_leave_its_place_in_the_path(
    server: FakeServer, api: ServiceApi, stop: StopSignal
) -> None:
    with pytest.raises(LeaseLostError):
        api.heartbeat("../devices?x=#y", BEAT, FAST.patience(stop))
    assert server.requests == ["POST /v1/work/leases/..%2Fdevices%3Fx%3D%23y/heartbeat"]


@pytest.mark.parametrize("fault", [Fault.DROP_BEFORE, Fault.PAGE_200, Fault.PAGE_502, Fault.HALF])
def test_a_download_is_checked_against_its_digest(
    server: FakeServer, api: ServiceApi, fault: Fault
) -> None:
    data = b"model" * 1000
    sha256 = server.store(data)
    server.faults = {0: fault}
    with pytest.raises(UnreachableError):
        api.download(sha256, io.BytesIO())
    arrived = io.BytesIO()
    api.download(sha256, arrived)
    assert arrived.getvalue() == data


def test_a_download_is_refused_when_unknown_or_too_large(server: FakeServer) -> None:
    data = b"x" * 2000
    sha256 = server.store(data)
    api = ServiceApi(server.address, AGENT_TOKEN, AgentSettings(max_model_bytes=1999))
    with pytest.raises(RefusedError, match="model-too-large"):
        api.download(sha256, io.BytesIO())
    with pytest.raises(RefusedError, match="not-found"):
        api.download("0" * 64, io.BytesIO())
    api.close()


def test_an_absent_server_is_unreachable(stop: StopSignal) -> None:
    api = ServiceApi("http://127.0.0.1:9", AGENT_TOKEN, FAST)
    with pytest.raises(UnreachableError, match="ConnectError"):
        api.claim(CLAIM, FAST.patience(stop, 0.0))
    assert not api.is_healthy()
    api.close()


@pytest.mark.parametrize(
    "text", ["", "host:8712", "ftp://host", "http://", "http://a:b@host", "http://host/?x=1"]
)
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="server"):
        checked_address(text)


def test_http_is_only_silent_on_this_machine() -> None:
    assert is_readable_on_the_way("http://10.0.0.3:8712")
    assert not is_readable_on_the_way("http://127.0.0.1:8712")
    assert not is_readable_on_the_way("http://[::1]:8712")
    assert not is_readable_on_the_way("https://10.0.0.3")


def test_an_address_may_have_a_path_and_a_slash() -> None:
    assert checked_address("https://host/edgewright/") == "https://host/edgewright"
