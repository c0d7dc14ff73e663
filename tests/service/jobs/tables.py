"""A table of a board, from operators that it was asked for and measured."""

from collections.abc import Iterable

from latency.messages import ProfileWork
from latency.operator import OperatorSpec
from service.database import Database
from service.devices.work import request_profile
from service.profiling.use_cases import build_table
from tests.service.board import Board
from tests.service.fakes import HeldClock
from tests.service.samples import add_job, chunk_of


def give_table(
    database: Database, clock: HeldClock, board: Board, operators: Iterable[OperatorSpec]
) -> None:
    """Have a board measure operators, all alike, and make a table of them."""
    work = ProfileWork(operators=tuple(operators))
    with database.transaction() as session:
        request_profile(session, board.device_id, add_job(session, clock()), work, now=clock())
    lease = board.work()
    assert board.upload(lease, chunk_of(work, ns=1000)).status_code == 204
    assert board.finish(lease).status_code == 200
    with database.transaction() as session:
        build_table(session, board.target.fingerprint, [], [], now=clock())
