"""WorkUnitRow: one thing that a device is asked to measure."""

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from service.tables.base import Digest, Id, Json, Row, Time, Word, new_id


class WorkUnitRow(Row):
    """A unit of device work, leased to its device attempt by attempt."""

    __tablename__ = "work_units"
    __table_args__ = (Index(None, "device_id", "state", "created_at"),)

    id: Mapped[Id] = mapped_column(primary_key=True, default=new_id)
    device_id: Mapped[Id] = mapped_column(ForeignKey("devices.id"))
    job_id: Mapped[Id] = mapped_column(ForeignKey("jobs.id"), index=True)
    kind: Mapped[Word]  # latency.messages.WorkKind
    state: Mapped[Word]  # lifecycle.WorkState
    work: Mapped[Json] = mapped_column(deferred=True)  # ProfileWork or VerifyWork, plain values
    artifact_sha256: Mapped[Digest | None] = mapped_column(ForeignKey("artifacts.sha256"))
    attempts: Mapped[int] = mapped_column(default=0)
    reasons: Mapped[Json]  # why each failed attempt failed, in order
    created_at: Mapped[Time]
    finished_at: Mapped[Time | None]
