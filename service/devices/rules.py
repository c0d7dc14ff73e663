"""How leases behave, as values and pure functions."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from latency.messages import ProfileWork, VerifyWork
from latency.operator import OperatorSpec
from service.lifecycle import WorkState
from service.settings import Settings


@dataclass(frozen=True, kw_only=True)
class LeaseRules:
    """Times and limits of leases."""

    lease_s: float = 60.0
    heartbeat_s: float = 15.0
    poll_s: float = 2.0
    last_seen_s: float = 30.0
    max_attempts: int = 3

    @classmethod
    def of(cls, settings: Settings) -> "LeaseRules":
        """Return the rules that the settings ask for."""
        return cls(
            lease_s=settings.lease_seconds,
            heartbeat_s=settings.heartbeat_seconds,
            poll_s=settings.poll_seconds,
            last_seen_s=settings.last_seen_seconds,
            max_attempts=settings.max_attempts,
        )

    def expiry(self, now: datetime) -> datetime:
        """Return when a lease that is renewed now runs out."""
        return now + timedelta(seconds=self.lease_s)

    def is_unseen(self, last_seen_at: datetime, now: datetime) -> bool:
        """Whether the time of the last call is so old that it should be written down anew."""
        return (now - last_seen_at).total_seconds() >= self.last_seen_s

    def after_failure(self, attempts: int) -> WorkState:
        """Return what becomes of a work unit whose newest attempt has failed."""
        return WorkState.QUEUED if attempts < self.max_attempts else WorkState.FAILED


def remaining_work(
    work: ProfileWork, specs: AbstractSet[OperatorSpec], names: AbstractSet[str]
) -> ProfileWork:
    """Return `work` without the operators and networks that are measured already."""
    return replace(
        work,
        operators=tuple(spec for spec in work.operators if spec not in specs),
        networks=tuple(network for network in work.networks if network.name not in names),
    )


def measurement_count(work: ProfileWork | VerifyWork) -> int:
    """Return how many measurements the work asks for."""
    if isinstance(work, VerifyWork):
        return 1
    return len(work.operators) + len(work.networks)
