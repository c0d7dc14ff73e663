"""WorkerLeaseRow: which workers are alive; the reaper reads it."""

from sqlalchemy.orm import Mapped, mapped_column

from service.tables.base import Name, Row, Time


class WorkerLeaseRow(Row):
    """A worker process, alive until `expires_at` unless it renews."""

    __tablename__ = "worker_leases"

    executor_id: Mapped[Name] = mapped_column(primary_key=True)  # unique for each start
    host: Mapped[Name] = mapped_column(default="")
    started_at: Mapped[Time]
    expires_at: Mapped[Time] = mapped_column(index=True)
