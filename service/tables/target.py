"""TargetRow: a device's hardware with its run-time setting, once per fingerprint."""

from sqlalchemy.orm import Mapped, mapped_column

from service.tables.base import Digest, Json, Row, Time


class TargetRow(Row):
    """A target that some device was once seen as."""

    __tablename__ = "targets"

    fingerprint: Mapped[Digest] = mapped_column(primary_key=True)
    target: Mapped[Json]  # latency.target.Target as plain values
    created_at: Mapped[Time]
