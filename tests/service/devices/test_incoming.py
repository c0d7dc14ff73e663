"""What agents send is bounded in every value; a refusal says where and never what."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency import codec
from latency.measurement import ChainSamples, Conditions, NetworkMeasurement, OperatorMeasurement
from latency.messages import Chunk, Claim, Finish, Heartbeat, Outcome
from service.devices import incoming
from service.errors import InvalidRequestError, InvalidValueError
from tests.service.samples import chunk_of, conv, network_result, profile_work, target

GOOD = chunk_of(profile_work(1, 1))
SAMPLES = ChainSamples(method="chain", copies=4, short_ns=(5, 6), long_ns=(9, 9))

Change = Callable[[Chunk], Chunk]


def samples(**changes: object) -> Change:
    changed = OperatorMeasurement(spec=conv(), samples=replace(SAMPLES, **changes))  # type: ignore[arg-type]
    return lambda chunk: replace(chunk, operators=(changed,))


def network(**changes: object) -> Change:
    changed = replace(network_result("net"), **changes)  # type: ignore[arg-type]
    return lambda chunk: replace(chunk, networks=(changed,))


def conditions(**changes: object) -> Change:
    return lambda chunk: replace(chunk, conditions=replace(chunk.conditions, **changes))  # type: ignore[arg-type]


def test_good_chunks_pass() -> None:
    incoming.check_chunk(GOOD)
    incoming.check_chunk(samples()(GOOD))


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        (samples(short_ns=(0, 6)), "/operators/0/samples/short_ns"),
        (samples(long_ns=(-1, 6)), "/operators/0/samples/long_ns"),
        (samples(long_ns=(9, 2**64)), "/operators/0/samples/long_ns"),
        (samples(long_ns=(9,)), "/operators/0/samples/long_ns"),
        (samples(short_ns=(), long_ns=()), "/operators/0/samples/short_ns"),
        (samples(copies=0), "/operators/0/samples/copies"),
        (samples(method=""), "/operators/0/samples/method"),
        (samples(method="a\nb"), "/operators/0/samples/method"),
        (samples(baseline_ns=1e300), "/operators/0/samples/baseline_ns"),
        (samples(baseline_ns=float("nan")), "/operators/0/samples/baseline_ns"),
        (samples(warmup_ns=(0,)), "/operators/0/samples/warmup_ns"),
        (samples(reference_ns=(0,)), "/operators/0/samples/reference_ns"),
        (samples(long_runs=-1), "/operators/0/samples/long_runs"),
        (network(name="x\x00"), "/networks/0/name"),
        (network(dense_parent_ns=((0,),)), "/networks/0/dense_parent_ns/0"),
        (network(without_library_ns=((-5,),)), "/networks/0/without_library_ns/0"),
        (network(processes_ns=()), "/networks/0"),
        (network(error="and samples"), "/networks/0"),
        (network(processes_ns=((),)), "/networks/0/processes_ns/0"),
        (network(reference_ns=((1,), (0,))), "/networks/0/reference_ns/1"),
        (network(processes_ns=((1,),) * 1001), "/networks/0/processes_ns"),
        (conditions(started_at="yesterday"), "/conditions/started_at"),
        (conditions(started_at="2026-11-23T12:00:00"), "/conditions/started_at"),
        (conditions(governor="x" * 101), "/conditions/governor"),
        (conditions(frequency_khz=-1), "/conditions/frequency_khz"),
        (conditions(throttled=-1), "/conditions/throttled"),
        (conditions(threads=10**10), "/conditions/threads"),
        (conditions(affinity=(0, -1)), "/conditions/affinity/1"),
        (
            lambda chunk: replace(chunk, conditions_after=Conditions(started_at="tomorrow")),
            "/conditions_after/started_at",
        ),
        (
            lambda chunk: replace(
                chunk, operators=(replace(chunk.operators[0], unstable="x" * 3000),)
            ),
            "/operators/0/unstable",
        ),
        (lambda chunk: replace(chunk, operators=(), networks=()), "/operators"),
        (lambda chunk: replace(chunk, operators=chunk.operators * 2001), "/operators"),
        (lambda chunk: replace(chunk, attempt=0), "/attempt"),
        (
            lambda chunk: replace(
                chunk, operators=(OperatorMeasurement(spec=conv(), samples=None),)
            ),
            "/operators/0",
        ),
        (
            lambda chunk: replace(
                chunk, networks=(NetworkMeasurement(name="n", processes_ns=(), error="x" * 3000),)
            ),
            "/networks/0/error",
        ),
    ],
)
def test_values_out_of_range(change: Change, pointer: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        incoming.check_chunk(change(GOOD))
    assert caught.value.errors[0].pointer == pointer


class TestDecoding:
    def test_round_trip(self) -> None:
        assert incoming.decode_message(codec.encode(GOOD), Chunk) == GOOD

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"\xff", b"NaN", b'{"attempt": NaN}', b'{"x":' + b"[" * 1_000_000]
    )
    def test_not_json(self, body: bytes) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            incoming.decode_message(body, Heartbeat)
        assert caught.value.code == "malformed-json"

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            (b"[]", "/"),
            (b"{}", "/"),
            (b'{"attempt": "secret", "done": 0, "total": 0}', "/attempt"),
            (b'{"attempt": 1.5, "done": 0, "total": 0}', "/attempt"),
            (b'{"attempt": 1e400, "done": 0, "total": 0}', "/attempt"),
        ],
    )
    def test_of_another_shape(self, body: bytes, pointer: str) -> None:
        with pytest.raises((InvalidValueError, InvalidRequestError)) as caught:
            incoming.decode_message(body, Heartbeat)
        assert "secret" not in str(caught.value)
        if isinstance(caught.value, InvalidValueError):
            assert caught.value.errors[0].pointer == pointer

    def test_values_of_our_own_classes_are_not_repeated(self) -> None:
        body = codec.encode(GOOD).replace(b'"float32"', b'"s3cret"')
        with pytest.raises(InvalidValueError) as caught:
            incoming.decode_message(body, Chunk)
        assert caught.value.errors[0].pointer == "/operators/0/spec"
        assert "s3cret" not in str(caught.value)
        enum = codec.encode(GOOD).replace(b'"conv"', b'"s3cret"')
        with pytest.raises(InvalidValueError) as caught:
            incoming.decode_message(enum, Chunk)
        assert "s3cret" not in str(caught.value)

    @given(st.binary(max_size=300))
    def test_any_bytes_are_refused_in_order(self, body: bytes) -> None:
        with pytest.raises((InvalidRequestError, InvalidValueError)):
            incoming.decode_message(body, Chunk)


@pytest.mark.parametrize(
    "changed",
    [
        replace(target(), threads=0),
        replace(target(), affinity=(-1,)),
        replace(target(), facts=replace(target().facts, cores=0)),
        replace(target(), facts=replace(target().facts, memory_bytes=2**63)),
        replace(target(), facts=replace(target().facts, system="x" * 20_000)),
    ],
)
def test_targets(changed: object) -> None:
    incoming.check_claim(Claim(claim_id="x", target=target()))
    with pytest.raises(InvalidValueError):
        incoming.check_claim(Claim(claim_id="x", target=changed))  # type: ignore[arg-type]


def test_finish_and_heartbeat() -> None:
    good = Finish(attempt=1, outcome=Outcome.DONE, chunks=1, digest="0" * 64)
    incoming.check_finish(good)
    for bad in (
        replace(good, digest="0" * 63),
        replace(good, digest="G" * 64),
        replace(good, chunks=-1),
        replace(good, reason="x" * 3000),
    ):
        with pytest.raises(InvalidValueError):
            incoming.check_finish(bad)
    with pytest.raises(InvalidValueError):
        incoming.check_heartbeat(Heartbeat(attempt=1, done=-1, total=0))
    with pytest.raises(InvalidValueError):
        incoming.check_heartbeat(Heartbeat(attempt=1, done=0, total=10**30))


def test_conditions_may_be_unknown() -> None:
    started = Conditions(started_at="2026-11-23T12:00:00Z")
    incoming.check_chunk(replace(GOOD, conditions=started))


@given(st.text())
def test_clean_text_has_no_control_characters(text: str) -> None:
    cleaned = incoming.clean_text(text)
    assert not set(cleaned) & {chr(code) for code in (*range(32), 127)}
    assert len(cleaned) <= 2000
