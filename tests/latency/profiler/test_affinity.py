import os
from dataclasses import replace

import pytest

from latency.profiler.affinity import check_affinity, usable_cores
from latency.profiler.child_messages import ChildRequest
from latency.profiler.device import current_target
from latency.profiler.process import ChildProcess

CORES = usable_cores()
NO_CORE = max(CORES, default=0) + 1


@pytest.mark.parametrize(
    ("affinity", "threads", "message"),
    [
        ((NO_CORE,), 1, f"there is no core {NO_CORE}; this process may use "),
        ((CORES[0], CORES[0]), 1, "a core is listed twice"),
        ((CORES[0],), 2, "2 threads need 2 cores, got 1"),
    ],
)
def test_cores_that_cannot_be_used_are_refused(
    affinity: tuple[int, ...], threads: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_affinity(affinity, threads)


def test_the_measuring_child_pins_itself_and_only_itself() -> None:
    before = os.sched_getaffinity(0)
    target = current_target(affinity=CORES[-1:])
    with ChildProcess() as child:
        answer = child.ask(ChildRequest(target=target, rounds=1), lambda: False)
        assert answer.conditions is not None
        assert answer.conditions.affinity == CORES[-1:]
        assert child._process is not None
        assert os.sched_getaffinity(child._process.pid) == {CORES[-1]}
        elsewhere = replace(target, affinity=(NO_CORE,))
        refused = child.ask(ChildRequest(target=elsewhere, rounds=1), lambda: False)
        assert refused.error.startswith(f"affinity: there is no core {NO_CORE}")
    assert os.sched_getaffinity(0) == before


def test_pinned_and_not_pinned_are_two_targets() -> None:
    assert current_target().fingerprint != current_target(affinity=CORES[:1]).fingerprint
