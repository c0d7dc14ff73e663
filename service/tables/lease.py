"""LeaseRow and ChunkRow: one attempt of a device at a work unit, and what it uploaded."""

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from service.tables.base import Digest, Id, Json, LongText, Name, Row, Time, Word, new_id


class LeaseRow(Row):
    """One attempt. `attempt` is the fencing token: only the newest one may write."""

    __tablename__ = "leases"
    __table_args__ = (
        UniqueConstraint("unit_id", "attempt"),
        UniqueConstraint("device_id", "claim_id"),
        Index(None, "state", "expires_at"),
    )

    id: Mapped[Id] = mapped_column(primary_key=True, default=new_id)
    unit_id: Mapped[Id] = mapped_column(ForeignKey("work_units.id"))
    device_id: Mapped[Id] = mapped_column(ForeignKey("devices.id"))
    claim_id: Mapped[Name]  # made by the agent; a repeated claim gets the same lease
    attempt: Mapped[int]
    state: Mapped[Word]  # lifecycle.LeaseState
    target_fingerprint: Mapped[Digest] = mapped_column(ForeignKey("targets.fingerprint"))
    # JSON of what this attempt was asked for: the unit less what earlier attempts measured.
    work: Mapped[LongText] = mapped_column(deferred=True)
    expires_at: Mapped[Time]  # by the server's clock
    renewed_at: Mapped[Time]
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    digest: Mapped[Digest | None]  # of a finished lease
    reason: Mapped[LongText] = mapped_column(default="")
    created_at: Mapped[Time]
    finished_at: Mapped[Time | None]


class ChunkRow(Row):
    """One upload of a lease; its measurements were stored in the same transaction."""

    __tablename__ = "chunks"

    lease_id: Mapped[Id] = mapped_column(ForeignKey("leases.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sha256: Mapped[Digest]
    measurements: Mapped[int]
    conditions: Mapped[Json]  # latency.measurement.Conditions as plain values, before
    conditions_after: Mapped[Json | None]
    created_at: Mapped[Time]
