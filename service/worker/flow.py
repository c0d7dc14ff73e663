"""Flow: one attempt at a job, as its steps see it.

Rule of this package: nothing escapes a step. DBOS would record an exception as the final outcome
of the step, and a database that was away for a second would have failed the job for good. So a
step returns a value that says what happened, and only the body of the flow raises.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec

from dbos import DBOS
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from service.errors import ServiceError
from service.jobs.journal import locked_job, move
from service.lifecycle import JobState
from service.tables.job import JobRow
from service.worker.context import WorkerContext

_log = logging.getLogger(__name__)
_LONGEST_PAUSE_S = 10.0

P = ParamSpec("P")


class JobStoppedError(Exception):
    """The job was cancelled, or a later attempt took its place: end without a word."""


class JobFailedError(Exception):
    """The job cannot be done; `error` is what its row will say."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(str(error.get("message", "")))
        self.error = error


@dataclass(frozen=True, kw_only=True)
class Flow:
    """One attempt at one job in one worker."""

    context: WorkerContext
    job_id: str
    attempt: int

    @contextmanager
    def job(self) -> Iterator[tuple[Session, JobRow]]:
        """Give a transaction with the job locked.

        Raises:
            JobStoppedError: the job has ended, or this is not its attempt any more.
        """
        with self.context.database.transaction() as session:
            row = locked_job(session, self.job_id)
            if row.attempt != self.attempt or row.finished_at is not None:
                raise JobStoppedError
            yield session, row

    def enter(self, session: Session, job: JobRow, state: JobState) -> None:
        """Move the job to a state that it works or waits in."""
        move(session, job, state, self.context.clock())

    async def step(
        self,
        function: "Callable[Concatenate[Flow, P], Any]",
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Any:
        """Run `function(self, ...)` once, durably, in a thread; its result must be JSON.

        Raises:
            JobStoppedError: see `job`.
            JobFailedError: the function said that the job cannot be done.
        """

        def run() -> dict[str, Any]:
            return self.guarded(function, *args, **kwargs)

        return unwrap(await DBOS.run_step_async({"name": function.__name__}, run))

    def guarded(
        self,
        function: "Callable[Concatenate[Flow, P], Any]",
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> dict[str, Any]:
        """Return the outcome of `function(self, ...)` as a value; waits while the database is away."""
        pause_s = 0.2
        while True:
            try:
                return {"value": function(self, *args, **kwargs)}
            except (OperationalError, InterfaceError, PoolTimeoutError):
                _log.warning("step %s: the database does not answer", function.__name__)
            except JobStoppedError:
                return {"stopped": True}
            except JobFailedError as failure:
                return {"error": failure.error}
            except ServiceError as error:
                return {"error": {"code": error.code, "message": str(error)} | error.extra}
            except Exception as error:  # noqa: BLE001 - the rule of this package
                _log.exception("step %s failed", function.__name__)
                return {"error": internal_error(error)}
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def unwrap(outcome: dict[str, Any]) -> Any:
    """Return the value of an outcome, or raise what it says."""
    if outcome.get("stopped"):
        raise JobStoppedError
    if outcome.get("error") is not None:
        raise JobFailedError(outcome["error"])
    return outcome.get("value")


def internal_error(error: BaseException) -> dict[str, Any]:
    """Return what a job says that a fault of ours has ended."""
    return {
        "code": "internal-error",
        "message": f"The service made a mistake ({type(error).__name__}); see the worker's log.",
    }
