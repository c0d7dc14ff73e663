"""TokenRow: who may call; only the digest of the secret is stored."""

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from service.tables.base import Digest, Id, Name, Row, Time, Word, new_id


class TokenRow(Row):
    """A bearer token."""

    __tablename__ = "tokens"

    id: Mapped[Id] = mapped_column(primary_key=True, default=new_id)
    kind: Mapped[Word]  # admin, user, agent, enrol
    sha256: Mapped[Digest] = mapped_column(unique=True)
    name: Mapped[Name]
    device_id: Mapped[Id | None] = mapped_column(ForeignKey("devices.id"), index=True)
    created_at: Mapped[Time]
    expires_at: Mapped[Time | None]
    used_at: Mapped[Time | None]  # of an enrolment token: when a device was enrolled with it
    revoked_at: Mapped[Time | None]

    def is_expired(self, now: datetime) -> bool:
        """Whether the token has outlived its time."""
        return self.expires_at is not None and self.expires_at <= now
