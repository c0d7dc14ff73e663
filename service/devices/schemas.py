"""JSON shapes of devices. What agents send and get is in latency.messages."""

from datetime import datetime

from latency.target import Target
from service.shapes import ReadShape


class DeviceRead(ReadShape):
    """A device."""

    id: str
    name: str
    target: Target  # as of its last call
    target_fingerprint: str
    agent_version: str
    online: bool
    created_at: datetime
    last_seen_at: datetime
    quarantined: int = 0  # measurements that no table uses; see GET /v1/operators
