"""LatencyTableRow: one published version of the table of a target."""

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from service.tables.base import BigId, Digest, Id, Json, Row, Time, new_id


class LatencyTableRow(Row):
    """A version: its calibration, its published error, and which measurements it is made of."""

    __tablename__ = "latency_tables"
    __table_args__ = (UniqueConstraint("target_fingerprint", "version"),)

    id: Mapped[Id] = mapped_column(primary_key=True, default=new_id)
    target_fingerprint: Mapped[Digest] = mapped_column(ForeignKey("targets.fingerprint"))
    version: Mapped[int]
    operators: Mapped[int]  # number of rows of the table
    calibration: Mapped[Json]  # latency.table.Calibration as plain values
    error: Mapped[Json | None]  # latency.table.PublishedError as plain values
    library_calibration: Mapped[Json | None]  # of networks executed by the operator library
    library_error: Mapped[Json | None]
    networks: Mapped[Json]  # names of the networks: {"calibration": [...], "held_out": [...]}
    timed_by: Mapped[Id | None]  # the device that timed these networks
    created_at: Mapped[Time]
    withdrawn_at: Mapped[Time | None]  # since then it is used for nothing new


class LatencyTableMeasurementRow(Row):
    """A measurement belongs to a version of a table."""

    __tablename__ = "latency_table_measurements"

    table_id: Mapped[Id] = mapped_column(ForeignKey("latency_tables.id"), primary_key=True)
    measurement_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("measurements.id"), primary_key=True
    )
