"""Leases walked at random on a real database: devices claim, die, come back late, finish, repeat.

What must hold whatever happens: a device has at most one active lease, a unit at most one; only the
newest attempt writes; a unit ends once and its job is told once; no more attempts than allowed.
"""

import hashlib
import shutil
import tempfile
import uuid
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import select
from sqlalchemy.orm import Session

from latency import codec
from latency.messages import Claim, Finish, Heartbeat, Lease, Outcome
from service.database import Database, create_engine
from service.devices.evidence import evidence_for
from service.devices.leasing import Desk, claim_work, expire_leases, renew_lease
from service.devices.rules import LeaseRules
from service.devices.uploads import Upload, finish_lease, store_chunk
from service.devices.work import cancel_work, request_profile
from service.errors import ConflictError, InvalidValueError
from service.lifecycle import FINAL_WORK_STATES, LeaseState, WorkState
from service.tables.lease import LeaseRow
from service.tables.measurement import MeasurementRow
from service.tables.work_unit import WorkUnitRow
from tests.service.fakes import HeldClock, RecordingListener
from tests.service.samples import add_device, add_job, chunk_of, profile_work, target

RULES = LeaseRules()


@pytest.fixture(scope="module", autouse=True)
def template(sqlite_template: Path) -> None:
    """Give the machine a migrated database file to copy; hypothesis passes it no fixtures."""
    LeaseMachine.template = sqlite_template


class LeaseMachine(RuleBasedStateMachine):
    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="edgewright-lease-machine-"))
        shutil.copy(self.template, self.folder / "x.db")
        self.database = Database(create_engine(f"sqlite:///{self.folder / 'x.db'}"))
        self.clock, self.listener = HeldClock(), RecordingListener()
        self.devices: list[str] = []
        self.jobs: list[str] = []
        self.leases: list[tuple[str, Lease]] = []
        self.digests: dict[str, list[str]] = {}

    def teardown(self) -> None:
        self.database.dispose()
        shutil.rmtree(self.folder)

    @property
    def desk(self) -> Desk:
        return Desk(rules=RULES, listener=self.listener, now=self.clock())

    @initialize(devices=st.integers(1, 2))
    def enrol(self, devices: int) -> None:
        with self.database.transaction() as session:
            self.devices = [add_device(session, self.clock()) for _ in range(devices)]

    @rule(index=st.integers(0, 1))
    def ask(self, index: int) -> None:
        device = self.devices[index % len(self.devices)]
        with self.database.transaction() as session:
            job = add_job(session, self.clock())
            request_profile(session, device, job, profile_work(2, 0), now=self.clock())
        self.jobs.append(job)

    @rule(seconds=st.sampled_from([1, 14, 59, 61]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def sweep(self) -> None:
        with self.database.transaction() as session:
            expire_leases(session, self.desk)

    @rule(index=st.integers(0, 1), changed=st.integers(1, 8))
    def claim(self, index: int, changed: int) -> None:
        device = self.devices[index % len(self.devices)]
        seen = target(threads=2 if changed == 1 else 1)
        message = Claim(claim_id=str(uuid.uuid4()), target=seen)
        with self.database.transaction() as session:
            lease = claim_work(session, device, message, self.desk).lease
        with self.database.transaction() as session:
            again = claim_work(session, device, message, self.desk).lease
        assert again == lease
        if lease is not None:
            self.leases.append((device, lease))

    @rule(index=st.integers(0, 5))
    def beat(self, index: int) -> None:
        if self.leases:
            device, lease = self.leases[-1 - index % len(self.leases)]
            beat = Heartbeat(attempt=lease.attempt, done=1, total=2)
            self.attempt(lambda s: renew_lease(s, device, lease.lease_id, beat, self.desk))

    @rule(index=st.integers(0, 5), whole=st.booleans())
    def upload(self, index: int, whole: bool) -> None:  # noqa: FBT001 - hypothesis gives it
        if not self.leases:
            return
        device, lease = self.leases[-1 - index % len(self.leases)]
        assert lease.profile is not None
        chunk = chunk_of(lease.profile, attempt=lease.attempt)
        operators = chunk.operators if whole else chunk.operators[:1]
        body = codec.encode(chunk)
        digest = hashlib.sha256(body + bytes([whole])).hexdigest()
        known = self.digests.setdefault(lease.lease_id, [])
        chunk = type(chunk)(attempt=chunk.attempt, conditions=chunk.conditions, operators=operators)
        position = len(known)

        def store(session: Session) -> None:
            evidence = evidence_for(session, device, lease.lease_id, self.desk.now)
            upload = Upload.of(position, digest, chunk, evidence)
            store_chunk(session, device, lease.lease_id, upload, self.desk)

        if self.attempt(store):
            known.append(digest)

    @rule(index=st.integers(0, 5), outcome=st.sampled_from(Outcome))
    def finish(self, index: int, outcome: Outcome) -> None:
        if not self.leases:
            return
        device, lease = self.leases[-1 - index % len(self.leases)]
        known = self.digests.get(lease.lease_id, [])
        message = Finish(
            attempt=lease.attempt,
            outcome=outcome,
            chunks=len(known),
            digest=hashlib.sha256("".join(known).encode()).hexdigest(),
        )
        self.attempt(lambda s: finish_lease(s, device, lease.lease_id, message, self.desk))

    @rule(index=st.integers(0, 5))
    def cancel(self, index: int) -> None:
        if self.jobs and index == 0:
            with self.database.transaction() as session:
                cancel_work(session, self.jobs[-1], now=self.clock())

    def attempt(self, action) -> bool:  # type: ignore[no-untyped-def]
        """Do it in a transaction; conflicts are part of the game, and change nothing."""
        before = self.listener.units.copy()
        try:
            with self.database.transaction() as session:
                action(session)
        except (ConflictError, InvalidValueError):
            self.listener.units = before
            return False
        return True

    @invariant()
    def at_most_one_active_lease(self) -> None:
        with self.database.reading() as session:
            active = session.scalars(
                select(LeaseRow).where(LeaseRow.state == LeaseState.ACTIVE)
            ).all()
            units = {unit.id: unit for unit in session.scalars(select(WorkUnitRow))}
        assert len({lease.device_id for lease in active}) == len(active)
        leased = {unit.id for unit in units.values() if unit.state == WorkState.LEASED}
        assert {lease.unit_id for lease in active} == leased
        assert all(lease.attempt == units[lease.unit_id].attempts for lease in active)

    @invariant()
    def ends_are_told_once(self) -> None:
        with self.database.reading() as session:
            units = session.scalars(select(WorkUnitRow)).all()
        told = [unit for _, unit in self.listener.units]
        ended = {
            unit.id
            for unit in units
            if unit.state in FINAL_WORK_STATES and unit.state != WorkState.CANCELLED
        }
        assert sorted(told) == sorted(ended)
        assert all(unit.attempts <= RULES.max_attempts for unit in units)
        for unit in units:
            if unit.state == WorkState.FAILED:
                assert len(unit.reasons) == RULES.max_attempts

    @invariant()
    def done_units_have_all_results(self) -> None:
        with self.database.reading() as session:
            done = session.scalars(
                select(WorkUnitRow).where(WorkUnitRow.state == WorkState.DONE)
            ).all()
            for unit in done:
                statement = select(MeasurementRow.spec_key).where(MeasurementRow.unit_id == unit.id)
                assert len(set(session.scalars(statement))) == 2


LeaseMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestLeaseMachine = LeaseMachine.TestCase
