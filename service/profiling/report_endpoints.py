"""/v1/tables/{id}/report, /diff and /export: answers that take a while, in threads and in turns.

Each works for some tenths of a second; several at once would keep the interpreter from all else.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Query, Response

from latency import codec
from latency.exchange.table_file import table_document
from latency.operator import OperatorSpec
from latency.report.values import TableDifference, TableReport
from latency.target import Target
from search.space.task import TaskShape
from service.access.policy import Operator
from service.context import Context
from service.datasets.use_cases import find_dataset
from service.errors import UnavailableError, invalid_field, public_message
from service.profiling import reports
from service.profiling.planning import profiled_space
from service.profiling.schemas import ReportQuery
from service.shapes import Identifier

router = APIRouter(prefix="/v1/tables", tags=["profiling"])

_TURN = threading.Lock()
_PATIENCE_S = 30.0


@router.get("/{table_id}/report", response_model=TableReport)
def report_table(
    context: Context,
    _principal: Operator,
    table_id: Identifier,
    query: Annotated[ReportQuery, Query()],
) -> Response:
    """Return how right a table is; with a data set also what a space needs that it lacks."""
    with context.database.reading() as session:
        stored = reports.read_table(session, table_id)
        task = None if query.dataset is None else find_dataset(session, query.dataset).task
    with _in_turn():
        needed = () if task is None else _needed(query, task, stored.table.target)
        report = reports.report_of_table(stored, needed, now=context.clock())
    return Response(codec.encode(report), media_type="application/json")


@router.get("/{table_id}/diff", response_model=TableDifference)
def compare_tables(
    context: Context,
    _principal: Operator,
    table_id: Identifier,
    against: Annotated[Identifier, Query(description="the table that came before")],
) -> Response:
    """Return what is different in this table from the one that came before, op by op."""
    with context.database.reading() as session:
        before = reports.read_table(session, against)
        after = reports.read_table(session, table_id)
    with _in_turn():
        found = reports.difference_of_tables(before, after)
    return Response(codec.encode(found), media_type="application/json")


@router.get("/{table_id}/export", response_class=Response)
def export_table(context: Context, _principal: Operator, table_id: Identifier) -> Response:
    """Return the table with its raw samples as a file with a checksum."""
    with context.database.reading() as session:
        stored = reports.read_table(session, table_id)
        samples = reports.read_samples(session, table_id)
    with _in_turn():
        document = table_document(reports.table_file(stored, samples))
    return Response(document, media_type="application/json")


@contextmanager
def _in_turn() -> Iterator[None]:
    if not _TURN.acquire(timeout=_PATIENCE_S):
        raise UnavailableError("Other reports are being made; ask again.", retry_after_s=5)
    try:
        yield
    finally:
        _TURN.release()


def _needed(query: ReportQuery, task: TaskShape, target: Target) -> tuple[OperatorSpec, ...]:
    try:
        return profiled_space(query.model_dump(), task).usage(target).points
    except ValueError as error:
        raise invalid_field("/channels", public_message(error)) from error
