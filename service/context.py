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


async def get_context(request: Request) -> AppContext:
    """Return the context of the application that handles the request.

    Not a plain function: those go to a thread, which costs more than all that happens here.
    """
    context: AppContext = request.app.state.context
    return context


Context = Annotated[AppContext, Depends(get_context)]
