"""DeviceRow: an enrolled device."""

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from service.tables.base import Digest, Id, Name, Row, Time, new_id


class DeviceRow(Row):
    """A device and what it was when it last called."""

    __tablename__ = "devices"

    id: Mapped[Id] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[Name] = mapped_column(unique=True)
    target_fingerprint: Mapped[Digest] = mapped_column(
        ForeignKey("targets.fingerprint"), index=True
    )
    agent_version: Mapped[Name]
    created_at: Mapped[Time]
    agreed: Mapped[int] = mapped_column(default=0)  # profiles in a row; see service.devices.trust
    last_seen_at: Mapped[Time]  # up to date within settings.last_seen_seconds
