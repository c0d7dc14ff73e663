"""A flow without an engine: steps run at once, and the device works behind each question."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from latency.messages import Chunk, Outcome, VerifyWork
from service.worker.flow import Flow, unwrap
from tests.service.board import Board
from tests.service.samples import CONDITIONS, network_result


@dataclass(frozen=True, kw_only=True)
class SteppingFlow(Flow):
    """Runs each step at once; behind a step that asks the device, lets it work."""

    device: Callable[..., None]  # takes what the step was given

    async def step(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        value = unwrap(self.guarded(function, *args, **kwargs))
        if function.__name__.startswith("ask_for_"):
            self.device(*args)
        return value


def verify_all(board: Board, ms: float | None, check: Callable[[VerifyWork], None]) -> None:
    """Have a board time everything that it is asked to verify.

    Args:
        board: that was asked.
        ms: what it measures; None: it cannot run what it is given.
        check: looks at what is asked, each time.
    """
    board.digests.clear()
    while (lease := board.claim().lease) is not None:
        assert lease.verify is not None
        check(lease.verify)
        if ms is None:
            assert board.finish(lease, outcome=Outcome.FAILED, reason="no").status_code == 200
            continue
        result = network_result(lease.verify.name, ns=round(ms * 1e6))
        chunk = Chunk(attempt=lease.attempt, conditions=CONDITIONS, networks=(result,))
        assert board.upload(lease, chunk).status_code == 204
        assert board.finish(lease).status_code == 200
