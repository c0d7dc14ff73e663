"""MeasurementRow and NetworkMeasurementRow: raw samples as devices sent them."""

from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from service.tables.base import BigId, Digest, Id, Json, LongText, Name, Row, Time, Word


class MeasurementRow(Row):
    """One operator measured once, raw. Statistics are computed from it when they are needed."""

    __tablename__ = "measurements"
    __table_args__ = (
        Index(None, "target_fingerprint", "spec_key"),
        Index(None, "unit_id", "lease_id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    unit_id: Mapped[Id] = mapped_column(ForeignKey("work_units.id"))
    lease_id: Mapped[Id] = mapped_column(ForeignKey("leases.id"))
    device_id: Mapped[Id] = mapped_column(ForeignKey("devices.id"), index=True)
    target_fingerprint: Mapped[Digest] = mapped_column(ForeignKey("targets.fingerprint"))
    spec_key: Mapped[Digest]
    kind: Mapped[Word]
    spec: Mapped[LongText]  # canonical JSON of the OperatorSpec
    samples: Mapped[LongText | None]  # JSON of ChainSamples; None where the measurement failed
    error: Mapped[LongText]
    unstable: Mapped[LongText] = mapped_column(default="")  # why it says less than it should
    quarantine: Mapped[LongText] = mapped_column(default="")  # why it is kept and never used
    reference_ns: Mapped[int | None] = mapped_column(
        BigInteger
    )  # median of the reference model beside it
    measured_at: Mapped[LongText]  # by the device's clock, ISO 8601
    received_at: Mapped[Time]


class NetworkMeasurementRow(Row):
    """One whole network measured once, raw."""

    __tablename__ = "network_measurements"
    __table_args__ = (Index(None, "unit_id", "name"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    unit_id: Mapped[Id] = mapped_column(ForeignKey("work_units.id"))
    lease_id: Mapped[Id] = mapped_column(ForeignKey("leases.id"))
    device_id: Mapped[Id] = mapped_column(ForeignKey("devices.id"), index=True)
    target_fingerprint: Mapped[Digest] = mapped_column(
        ForeignKey("targets.fingerprint"), index=True
    )
    name: Mapped[Name]
    measurement: Mapped[Json]  # latency.measurement.NetworkMeasurement without its graph
    graph: Mapped[Json | None]  # as the service asked for it
    error: Mapped[LongText]
    quarantine: Mapped[LongText] = mapped_column(default="")
    reference_ns: Mapped[int | None] = mapped_column(BigInteger)
    measured_at: Mapped[LongText]
    received_at: Mapped[Time]
