"""AppContext: everything that the endpoints need, built once by create_app and passed down."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from service.clock import Clock
from service.database import Database
from service.ports import JobQueue, WorkListener
from service.settings import Settings


@dataclass(frozen=True, kw_only=True)
class AppContext:
    """The parts of one API process."""

    settings: Settings
    database: Database
    clock: Clock
    listener: WorkListener
    job_queue: JobQueue


def get_context(request: Request) -> AppContext:
    """Return the context of the application that handles the request."""
    context: AppContext = request.app.state.context
    return context


Context = Annotated[AppContext, Depends(get_context)]
