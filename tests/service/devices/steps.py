"""Steps that the tests of the protocol share."""

from sqlalchemy import func, select

from latency.messages import ProfileWork
from service.database import Database
from service.devices.work import request_profile, work_state
from service.lifecycle import WorkState
from service.tables.base import Row
from tests.service.board import Board
from tests.service.fakes import HeldClock
from tests.service.samples import add_job


def ask(database: Database, clock: HeldClock, board: Board, work: ProfileWork) -> str:
    """Ask a device for measurements; returns the id of the unit."""
    with database.transaction() as session:
        job = add_job(session, clock(), board.device_id)
        return request_profile(session, board.device_id, job, work, now=clock())


def count(database: Database, row: type[Row]) -> int:
    """Return how many rows there are."""
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(row)) or 0


def state(database: Database, unit: str) -> tuple[WorkState, str]:
    """Return the state of a unit, and why attempts failed."""
    with database.reading() as session:
        return work_state(session, unit)
