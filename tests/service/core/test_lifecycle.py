"""States and transitions, walked at random by rules that know only the public functions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from service.lifecycle import (
    FINAL_WORK_STATES,
    JOB_TRANSITIONS,
    LEASE_TRANSITIONS,
    WORK_TRANSITIONS,
    IllegalTransitionError,
    JobState,
    LeaseState,
    WorkState,
    next_job_state,
    next_lease_state,
    next_work_state,
)


@pytest.mark.parametrize(
    ("states", "table"),
    [
        (JobState, JOB_TRANSITIONS),
        (WorkState, WORK_TRANSITIONS),
        (LeaseState, LEASE_TRANSITIONS),
    ],
)
def test_every_state_has_a_line_and_can_be_reached(states, table) -> None:  # type: ignore[no-untyped-def]
    assert set(table) == set(states)
    first = next(iter(states))
    reached, frontier = {first}, [first]
    while frontier:
        new = table[frontier.pop()] - reached
        reached |= new
        frontier += new
    assert reached == set(states)


@given(st.sampled_from(JobState), st.sampled_from(JobState))
def test_illegal_transitions_name_what_is_allowed(current: JobState, new: JobState) -> None:
    if new == current or new in JOB_TRANSITIONS[current]:
        assert next_job_state(current, new) is new
        return
    with pytest.raises(IllegalTransitionError, match=f"{current.value} cannot become {new.value}"):
        next_job_state(current, new)


class WorkUnitMachine(RuleBasedStateMachine):
    """One unit and its attempts: what the leases do is always legal for the unit too."""

    def __init__(self) -> None:
        super().__init__()
        self.unit = WorkState.QUEUED
        self.leases: list[LeaseState] = []

    @precondition(lambda self: self.unit is WorkState.QUEUED)
    @rule()
    def lease(self) -> None:
        self.leases = [
            next_lease_state(state, LeaseState.SUPERSEDED) if state is LeaseState.EXPIRED else state
            for state in self.leases
        ]
        self.unit = next_work_state(self.unit, WorkState.LEASED)
        self.leases.append(LeaseState.ACTIVE)

    @precondition(lambda self: self.unit is WorkState.LEASED)
    @rule(
        end=st.sampled_from(
            [
                (LeaseState.EXPIRED, WorkState.QUEUED),
                (LeaseState.EXPIRED, WorkState.FAILED),
                (LeaseState.FAILED, WorkState.QUEUED),
                (LeaseState.FAILED, WorkState.FAILED),
                (LeaseState.FINISHED, WorkState.DONE),
                (LeaseState.SUPERSEDED, WorkState.QUEUED),
                (LeaseState.CANCELLED, WorkState.CANCELLED),
            ]
        )
    )
    def end(self, end: tuple[LeaseState, WorkState]) -> None:
        self.leases[-1] = next_lease_state(self.leases[-1], end[0])
        self.unit = next_work_state(self.unit, end[1])

    @precondition(
        lambda self: self.unit is WorkState.QUEUED and self.leases[-1:] == [LeaseState.EXPIRED]
    )
    @rule()
    def revive(self) -> None:
        self.leases[-1] = next_lease_state(self.leases[-1], LeaseState.ACTIVE)
        self.unit = next_work_state(self.unit, WorkState.LEASED)

    @precondition(lambda self: self.unit in FINAL_WORK_STATES)
    @rule()
    def stay(self) -> None:
        assert next_work_state(self.unit, self.unit) is self.unit

    @invariant()
    def one_active_lease_while_leased(self) -> None:
        active = self.leases.count(LeaseState.ACTIVE)
        assert active == (1 if self.unit is WorkState.LEASED else 0)

    @invariant()
    def final_means_final(self) -> None:
        if self.unit in FINAL_WORK_STATES:
            for state in WorkState:
                if state is not self.unit:
                    with pytest.raises(IllegalTransitionError):
                        next_work_state(self.unit, state)


TestWorkUnitMachine = WorkUnitMachine.TestCase
