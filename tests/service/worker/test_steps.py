"""Steps that run again after an interruption change nothing that they have already done."""

import pytest
from sqlalchemy import func, select

from latency.messages import VerifyWork
from service.devices.work import cancel_work
from service.jobs.repository import job_by_id
from service.lifecycle import JobState
from service.tables.work_unit import WorkUnitRow
from service.worker.device_work import ask_device, measured_network, summary
from service.worker.flow import Flow, JobFailedError
from service.worker.flows import write_failure
from service.worker.space_table import plan_profile
from tests.service.samples import network, network_result


def units_of(flow: Flow) -> int:
    with flow.context.database.reading() as session:
        return session.scalar(select(func.count()).select_from(WorkUnitRow)) or 0


def ask(flow: Flow, name: str) -> str:
    with flow.job() as (session, job):
        return ask_device(flow, session, job, VerifyWork(name=name, graph=network()))


def test_the_same_work_is_asked_for_once(flow: Flow) -> None:
    first = ask(flow, "round-0-graph")
    assert ask(flow, "round-0-graph") == first
    assert ask(flow, "round-1-graph") != first
    assert units_of(flow) == 2
    with flow.context.database.transaction() as session:
        cancel_work(session, flow.job_id, now=flow.context.clock())
    assert ask(flow, "round-0-graph") != first  # what was cancelled is asked for anew


def test_planning_twice_asks_for_one_profile_and_the_job_waits(flow: Flow) -> None:
    plan = plan_profile(flow)
    assert plan["table_id"] is None
    assert plan_profile(flow)["unit_id"] == plan["unit_id"]
    assert units_of(flow) == 1
    with flow.context.database.reading() as session:
        job = job_by_id(session, flow.job_id)
        assert job is not None
        assert job.state == JobState.WAITING


def test_a_failure_is_written_into_the_job(flow: Flow) -> None:
    error = {"code": "trainer-crashed", "message": "killed"}
    write_failure(flow, error)
    with flow.context.database.reading() as session:
        job = job_by_id(session, flow.job_id)
        assert job is not None
        assert (job.state, job.error) == (JobState.FAILED, error)


def test_a_unit_without_results_is_no_measurement(flow: Flow) -> None:
    unit_id = ask(flow, "round-0-graph")
    with flow.context.database.reading() as session, pytest.raises(JobFailedError, match="arrived"):
        measured_network(session, unit_id)


def test_a_summary_is_the_median_of_medians() -> None:
    found = summary(network_result("x", ns=2_000_000))
    assert found["latency_ms"] == pytest.approx(2.000012)
    assert found["processes_ms"] == pytest.approx([2.000002, 2.000012, 2.000022])
    assert found["samples"] == 15
