"""Server-sent events of one job, read from the journal (WHATWG HTML, section 9.2)."""

import asyncio
import json
from collections.abc import AsyncIterator

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from service.database import Database
from service.jobs import use_cases
from service.jobs.schemas import END_EVENT, JobEventRead

MEDIA_TYPE = "text/event-stream"
_POLL_S = 0.5
_KEEP_ALIVE_S = 15.0  # a comment line, so that nothing on the way takes the connection for dead


async def event_stream(database: Database, job_id: str, after: int) -> AsyncIterator[str]:
    """Yield the events behind `after` as they come; then END_EVENT when the job has ended."""
    silent_s = 0.0
    while True:
        try:
            events, complete = await run_in_threadpool(_read, database, job_id, after)
        except SQLAlchemyError:
            return  # the caller connects again and goes on behind the last event that it has
        for event in events:
            yield _format(event)
            after = event.number
        if complete:
            yield f"event: {END_EVENT}\ndata: {{}}\n\n"
            return
        silent_s = 0.0 if events else silent_s + _POLL_S
        if silent_s >= _KEEP_ALIVE_S:
            silent_s = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(_POLL_S)


def _read(database: Database, job_id: str, after: int) -> tuple[list[JobEventRead], bool]:
    with database.reading() as session:
        rows, complete = use_cases.events_after(session, job_id, after)
        return [JobEventRead.model_validate(row) for row in rows], complete


def _format(event: JobEventRead) -> str:
    data = json.dumps(event.payload | {"at": event.created_at.isoformat()})
    return f"id: {event.number}\nevent: {event.kind}\ndata: {data}\n\n"
