"""The rule of repeating: waits within bounds, patience, stop."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.agent.errors import RefusedError, StoppedError, UnreachableError
from latency.agent.retry import (
    MAX_RETRY_AFTER_S,
    Patience,
    backoff_s,
    jittered,
    parse_retry_after,
    repeat,
)
from latency.agent.stop import StopSignal


def patience(stop: StopSignal, give_up_after_s: float = 60.0) -> Patience:
    return Patience(stop=stop, give_up_after_s=give_up_after_s, first_s=0.001, longest_s=0.002)


@given(
    tries=st.integers(1, 10_000),
    first_s=st.floats(0.01, 10),
    longest_s=st.floats(0.01, 100),
    retry_after_s=st.floats(0, 1e9),
)
def test_the_wait_is_never_shorter_than_asked_nor_longer_than_the_ceiling(
    tries: int, first_s: float, longest_s: float, retry_after_s: float
) -> None:
    rule = Patience(stop=StopSignal(), give_up_after_s=0, first_s=first_s, longest_s=longest_s)
    wait = backoff_s(tries, rule, retry_after_s)
    asked = min(retry_after_s, MAX_RETRY_AFTER_S)
    assert asked <= wait <= asked + min(longest_s, first_s * 2.0 ** min(tries - 1, 1000)) + 1e-9


def test_waits_differ_so_that_a_fleet_spreads_out() -> None:
    rule = Patience(stop=StopSignal(), give_up_after_s=0, first_s=1.0, longest_s=60.0)
    assert len({backoff_s(3, rule) for _ in range(20)}) > 10
    assert all(8.0 <= jittered(10.0) <= 12.0 for _ in range(50))


@given(st.text(max_size=20))
def test_any_retry_after_text_gives_a_finite_wait(text: str) -> None:
    assert 0.0 <= parse_retry_after(text) <= 1e9


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), (" 12 ", 12.0), (None, 0.0), ("-3", 0.0), ("1e9", 0.0), ("nan", 0.0),
     ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0)],
)  # fmt: skip
def test_retry_after_is_seconds_or_nothing(text: str | None, seconds: float) -> None:
    assert parse_retry_after(text) == seconds


def test_it_repeats_until_there_is_an_answer() -> None:
    outcomes = [UnreachableError("away"), UnreachableError("away"), None]

    def attempt() -> str:
        if error := outcomes.pop(0):
            raise error
        return "answer"

    assert repeat(attempt, patience(StopSignal()), "test") == "answer"
    assert outcomes == []


def test_a_refusal_is_not_repeated() -> None:
    calls: list[int] = []

    def attempt() -> None:
        calls.append(1)
        raise RefusedError(status=422, code="invalid-value", detail="no")

    with pytest.raises(RefusedError, match="invalid-value"):
        repeat(attempt, patience(StopSignal()), "test")
    assert calls == [1]


def test_no_patience_means_one_try() -> None:
    calls: list[int] = []

    def attempt() -> None:
        calls.append(1)
        raise UnreachableError("away", retry_after_s=1.0)

    with pytest.raises(UnreachableError):
        repeat(attempt, patience(StopSignal(), give_up_after_s=0.0), "test")
    assert calls == [1]


def test_a_stop_ends_the_waiting_and_prevents_a_try() -> None:
    stop = StopSignal()
    calls: list[int] = []

    def attempt() -> None:
        calls.append(1)
        stop.set()
        raise UnreachableError("away", retry_after_s=200.0)

    rule = Patience(stop=stop, give_up_after_s=float("inf"), first_s=0.001, longest_s=0.002)
    for _ in range(2):
        with pytest.raises(StoppedError):
            repeat(attempt, rule, "test")
    assert calls == [1]


def test_a_stop_reaches_the_children_and_not_the_parent() -> None:
    parent = StopSignal()
    with parent.child() as first:
        first.set()
        assert not parent.is_set()
    with parent.child() as second:
        parent.set()
        assert second.is_set()
        assert second.wait(0.0)
    with parent.child() as born_late:
        assert born_late.is_set()
