"""JSON shapes of tokens."""

from datetime import datetime

from service.shapes import ReadShape


class EnrolmentRead(ReadShape):
    """A single-use token for one device; shown once."""

    token: str
    expires_at: datetime
