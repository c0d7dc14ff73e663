"""Every state of a job, a work unit and a lease, and every legal transition. Pure values."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar


class JobKind(StrEnum):
    """What a user can ask for."""

    SEARCH = "search"
    PROFILE = "profile"
    VERIFY = "verify"
    COMPRESS = "compress"


class JobState(StrEnum):
    """Where a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"  # for a device; holds no training slot
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"  # may be resumed from its checkpoint


class WorkState(StrEnum):
    """Where a unit of device work is."""

    QUEUED = "queued"
    LEASED = "leased"
    DONE = "done"
    FAILED = "failed"  # attempts used up; the unit lists the reasons
    CANCELLED = "cancelled"


class LeaseState(StrEnum):
    """Where one attempt of a device at a work unit is."""

    ACTIVE = "active"
    EXPIRED = "expired"  # silent too long; may be revived while nobody else has the unit
    FINISHED = "finished"  # results complete and stored
    FAILED = "failed"  # the device said that it could not measure
    SUPERSEDED = "superseded"  # another attempt took its place, or the device changed
    CANCELLED = "cancelled"


JOB_TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset(
        {JobState.RUNNING, JobState.WAITING, JobState.FAILED, JobState.CANCELLED}
    ),
    JobState.RUNNING: frozenset(
        {JobState.WAITING, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}
    ),
    JobState.WAITING: frozenset(
        {JobState.RUNNING, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}
    ),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset({JobState.QUEUED}),  # resume
    JobState.CANCELLED: frozenset({JobState.QUEUED}),  # resume
}

WORK_TRANSITIONS: Mapping[WorkState, frozenset[WorkState]] = {
    WorkState.QUEUED: frozenset({WorkState.LEASED, WorkState.CANCELLED}),
    WorkState.LEASED: frozenset(
        {WorkState.QUEUED, WorkState.DONE, WorkState.FAILED, WorkState.CANCELLED}
    ),
    WorkState.DONE: frozenset(),
    WorkState.FAILED: frozenset(),
    WorkState.CANCELLED: frozenset(),
}

LEASE_TRANSITIONS: Mapping[LeaseState, frozenset[LeaseState]] = {
    LeaseState.ACTIVE: frozenset(
        {
            LeaseState.EXPIRED,
            LeaseState.FINISHED,
            LeaseState.FAILED,
            LeaseState.SUPERSEDED,
            LeaseState.CANCELLED,
        }
    ),
    LeaseState.EXPIRED: frozenset({LeaseState.ACTIVE, LeaseState.SUPERSEDED, LeaseState.CANCELLED}),
    LeaseState.FINISHED: frozenset(),
    LeaseState.FAILED: frozenset(),
    LeaseState.SUPERSEDED: frozenset(),
    LeaseState.CANCELLED: frozenset(),
}

FINAL_JOB_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})
FINAL_WORK_STATES = frozenset({WorkState.DONE, WorkState.FAILED, WorkState.CANCELLED})

State = TypeVar("State", JobState, WorkState, LeaseState)


class IllegalTransitionError(ValueError):
    """A state was asked to become one that it cannot become."""


def checked(transitions: Mapping[State, frozenset[State]], current: State, new: State) -> State:
    """Return `new` where `current` may become it, or already is it.

    Raises:
        IllegalTransitionError: the transition is not in the table.
    """
    if new == current or new in transitions[current]:
        return new
    allowed = ", ".join(sorted(transitions[current])) or "nothing: it is final"
    raise IllegalTransitionError(f"{current.value} cannot become {new.value}; allowed: {allowed}")


def next_job_state(current: JobState, new: JobState) -> JobState:
    """Return `new`, checked against the legal transitions of a job."""
    return checked(JOB_TRANSITIONS, current, new)


def next_work_state(current: WorkState, new: WorkState) -> WorkState:
    """Return `new`, checked against the legal transitions of a work unit."""
    return checked(WORK_TRANSITIONS, current, new)


def next_lease_state(current: LeaseState, new: LeaseState) -> LeaseState:
    """Return `new`, checked against the legal transitions of a lease."""
    return checked(LEASE_TRANSITIONS, current, new)
