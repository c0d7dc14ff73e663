"""A flow whose steps can be called, on both databases."""

from typing import cast

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from service.artifacts.store import ArtifactStore
from service.database import Database
from service.engine.queue import DbosJobQueue
from service.engine.worker_process import WorkerProcess
from service.jobs.journal import STATE_EVENT, record
from service.lifecycle import JobKind, JobState
from service.settings import Settings
from service.tables.job import JobRow
from service.worker.context import WorkerContext
from service.worker.flow import Flow
from tests.service.board import Board, enrol
from tests.service.fakes import HeldClock, RecordingQueue
from tests.service.samples import add_device, target


@pytest.fixture
def context(settings: Settings, database: Database, clock: HeldClock) -> WorkerContext:
    """What steps need; they never touch the process, and of the queue only the ports."""
    return WorkerContext(
        settings=settings,
        database=database,
        clock=clock,
        queue=cast(DbosJobQueue, RecordingQueue()),
        process=cast(WorkerProcess, None),
        store=ArtifactStore(settings.artifacts_dir),
    )


@pytest.fixture
def boards(app: FastAPI, admin: TestClient) -> list[Board]:
    """Two devices that are different targets."""
    box, pi = (enrol(app, admin, name=name) for name in ("box", "pi"))
    pi.target = target(threads=2)
    pi.claim()
    return [box, pi]


@pytest.fixture
def flow(context: WorkerContext, clock: HeldClock) -> Flow:
    """The first attempt at a running search."""
    request = {
        "dataset": "digits",
        "channels": 4,
        "cells": 3,
        "budget_ms": 0.5,
        "density": 0.25,
        "pattern": "block",
        "seed": 7,
        "recipe": "tiny",
    }
    with context.database.transaction() as session:
        job = JobRow(
            kind=JobKind.SEARCH,
            state=JobState.RUNNING,
            request=request,
            device_id=add_device(session, clock()),
            created_at=clock(),
        )
        session.add(job)
        session.flush()
        record(session, job, STATE_EVENT, {"state": "running"}, clock())
        return Flow(context=context, job_id=job.id, attempt=0)
