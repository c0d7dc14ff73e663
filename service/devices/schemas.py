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
    checks_passed: int = 0  # profiles in a row whose known operators came out as known
    quarantined: int = 0  # measurements that no table uses; see GET /v1/operators
