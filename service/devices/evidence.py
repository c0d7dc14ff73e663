"""What the service knows when an upload arrives, to judge it by: see latency.quarantine."""

import statistics
from datetime import datetime

from sqlalchemy.orm import Session

from latency import codec
from latency.quarantine import Evidence
from latency.target import Target
from service.devices import repository
from service.errors import NotFoundError


def evidence_for(session: Session, device_id: str, lease_id: str, now: datetime) -> Evidence:
    """Return what speaks for and against what a lease uploads now.

    The time that it had is counted from the first attempt of the device that did not finish: a
    new attempt may deliver what those before it had measured.

    Raises:
        NotFoundError: not a lease of this device.
    """
    lease = repository.lease_by_id(session, lease_id)
    target = None if lease is None else repository.target(session, lease.target_fingerprint)
    if lease is None or lease.device_id != device_id or target is None:
        raise NotFoundError("This device has no lease with this id.")
    began = repository.first_unfinished_attempt(session, lease)
    references = repository.recent_references(session, lease.target_fingerprint)
    return Evidence(
        target=codec.from_plain(target.target, Target),
        wall_s=max(0.0, (now - began).total_seconds()),
        reference_ns=statistics.median(references) if references else None,
    )
