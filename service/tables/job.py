"""JobRow, JobDeviceRow and JobEventRow: what a user asked for, where, and what happened to it."""

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from service.tables.base import Id, Json, Name, Row, Time, Word, new_id


class JobRow(Row):
    """One job. Its flow in the job engine has the same id."""

    __tablename__ = "jobs"
    __table_args__ = (Index(None, "state", "created_at"),)

    id: Mapped[Id] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[Name] = mapped_column(default="")
    kind: Mapped[Word]  # lifecycle.JobKind
    state: Mapped[Word]  # lifecycle.JobState
    request: Mapped[Json]
    device_id: Mapped[Id | None] = mapped_column(ForeignKey("devices.id"), index=True)
    table_id: Mapped[Id | None] = mapped_column(ForeignKey("latency_tables.id"))
    progress: Mapped[Json | None]
    result: Mapped[Json | None]
    error: Mapped[Json | None]  # {"code", "message", ...}
    priority: Mapped[int] = mapped_column(default=10)  # lower first; at least 1
    attempt: Mapped[int] = mapped_column(default=0)  # how often it was resumed
    created_at: Mapped[Time] = mapped_column(index=True)
    started_at: Mapped[Time | None]
    finished_at: Mapped[Time | None]


class JobDeviceRow(Row):
    """A device beside the job's own that the network of a search is for."""

    __tablename__ = "job_devices"

    job_id: Mapped[Id] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # from 2
    device_id: Mapped[Id] = mapped_column(ForeignKey("devices.id"), index=True)
    budget_ms: Mapped[float]
    table_id: Mapped[Id | None] = mapped_column(ForeignKey("latency_tables.id"))


class JobEventRow(Row):
    """One thing that happened to a job, numbered without gaps from 1 within the job."""

    __tablename__ = "job_events"

    job_id: Mapped[Id] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[Word]
    payload: Mapped[Json]
    created_at: Mapped[Time]
