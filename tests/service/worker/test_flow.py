"""Nothing escapes a step: whatever happens becomes a value, and a lost database is waited for."""

from collections.abc import Callable

import pytest
from sqlalchemy.exc import OperationalError

from service.errors import BudgetInfeasibleError
from service.jobs.journal import locked_job, move
from service.lifecycle import JobState
from service.worker.flow import Flow, JobFailedError, JobStoppedError, unwrap


def raising(error: Exception) -> Callable[[Flow], None]:
    """Return a step that fails."""

    def step(_flow: Flow) -> None:
        raise error

    return step


def test_a_database_that_is_away_is_waited_for(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("service.worker.flow.time.sleep", pauses.append)

    def step(_flow: Flow) -> str:
        if len(pauses) < 9:
            raise OperationalError("SELECT 1", None, Exception("gone"))
        return "done"

    assert flow.guarded(step) == {"value": "done"}
    assert pauses == sorted(pauses)
    assert pauses[-1] == 10.0  # it never waits longer than that before it asks again


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), TypeError("x")])
def test_a_fault_becomes_a_value_without_its_text(flow: Flow, error: Exception) -> None:
    outcome = flow.guarded(raising(error))
    assert outcome["error"]["code"] == "internal-error"
    assert type(error).__name__ in outcome["error"]["message"]


def test_a_refusal_keeps_its_code_and_its_numbers(flow: Flow) -> None:
    refusal = BudgetInfeasibleError(
        budget_ms=1.0, smallest_feasible_ms=2.0, device="board", table_version=1
    )
    outcome = flow.guarded(raising(refusal))
    assert outcome["error"]["code"] == "budget-infeasible"
    assert outcome["error"]["smallest_feasible_ms"] == 2.0
    with pytest.raises(JobFailedError, match="smallest"):
        unwrap(outcome)


def test_a_flow_whose_job_has_ended_or_has_a_later_attempt_stops(flow: Flow) -> None:
    def look(own: Flow) -> str:
        with own.job() as (_, job):
            return job.state

    assert flow.guarded(look) == {"value": "running"}
    later = Flow(context=flow.context, job_id=flow.job_id, attempt=1)
    assert later.guarded(look) == {"stopped": True}
    with flow.context.database.transaction() as session:
        move(session, locked_job(session, flow.job_id), JobState.CANCELLED, flow.context.clock())
    assert flow.guarded(look) == {"stopped": True}
    with pytest.raises(JobStoppedError):
        unwrap({"stopped": True})
