"""Tries: several measurements of one network, so that a disturbed one does not cost a training.

Each try is a unit of work of its own, and all of it is kept. What counts is taken from the processes
of all tries by the rule of the agent (`QuietRule.kept`): the undisturbed ones that agree with most
others. So nobody chooses the try that pleases.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from latency.measurement import AGREEMENT, NetworkMeasurement
from latency.messages import WorkKind
from latency.profiler.stability import QuietRule
from latency.units import ns_to_ms
from service.devices.work import fastest_reference_ns
from service.lifecycle import WorkState
from service.tables.work_unit import WorkUnitRow
from service.worker.device_work import measured_network, summary
from service.worker.flow import JobFailedError

MOST_TRIES = 3
_AGAIN = "-try-"


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What speaks for and against a measurement; None where it is not known."""

    budget_ms: float
    high_ms: float | None  # upper end of the predicted interval
    before_ms: float | None  # what the same network took with random weights


@dataclass(frozen=True, kw_only=True)
class Tries:
    """What a device says of one network: at least one measurement."""

    measurements: tuple[NetworkMeasurement, ...]
    fastest_reference_ns: int | None  # of the reference model beside networks on this device

    @cached_property
    def together(self) -> NetworkMeasurement:
        """As many processes as one try has, chosen from those of all."""
        first = self.measurements[0]
        processes = tuple(chain.from_iterable(one.processes_ns for one in self.measurements))
        references = self._references_ns
        medians = [statistics.median(samples) for samples in processes]
        kept = self._rule.kept(references, medians, len(first.processes_ns))
        return replace(
            first,
            processes_ns=tuple(processes[index] for index in kept),
            reference_ns=tuple(references[index] for index in kept if references[index]),
        )

    @property
    def disturbed(self) -> str:
        """Why what they say together cannot be trusted; empty where it can."""
        found = self.together
        references = [round(statistics.median(samples)) for samples in found.reference_ns]
        if reason := self._rule.disturbed(references):
            return reason
        if found.apart > AGREEMENT:
            return f"disturbed: its slowest process took {found.apart:.2f} times its fastest"
        return ""

    def summary(self) -> dict[str, Any]:
        """Return what a certificate says of it: medians in milliseconds."""
        return summary(self.together) | {
            "tries": len(self.measurements),
            "tries_ms": [ns_to_ms(one.median_ns) for one in self.measurements],
            "disturbed": self.disturbed or None,
        }

    @cached_property
    def _references_ns(self) -> list[tuple[int, ...]]:
        """The reference model beside each process; nothing where an agent did not say."""
        return list(
            chain.from_iterable(
                one.reference_ns or ((),) * len(one.processes_ns) for one in self.measurements
            )
        )

    @cached_property
    def _rule(self) -> QuietRule:
        rule = QuietRule()
        for samples in self._references_ns:
            rule.observe(samples)
        if self.fastest_reference_ns is not None:
            rule.observe([self.fastest_reference_ns])
        return rule


def doubt(tries: Tries, expected: Expectation) -> str:
    """Return why a network is to be measured again; empty where what was measured counts.

    Only what is over the budget is doubted: a disturbance makes nothing faster. It is when it was
    disturbed, and once when it is undisturbed but contradicts what was predicted or measured before.
    """
    latency_ms = ns_to_ms(tries.together.median_ns)
    if latency_ms <= expected.budget_ms or len(tries.measurements) >= MOST_TRIES:
        return ""
    if tries.disturbed or len(tries.measurements) > 1:
        return tries.disturbed
    if expected.before_ms is not None and expected.before_ms <= expected.budget_ms:
        return f"with random weights it took {expected.before_ms:.4f} ms"
    if expected.high_ms is not None and expected.high_ms < latency_ms:
        return f"at most {expected.high_ms:.4f} ms were predicted"
    return ""


def try_name(name: str, tried: int) -> str:
    """Return the name of a further measurement, after so many tries."""
    return f"{name}{_AGAIN}{tried + 1}" if tried else name


def load_tries(session: Session, unit_ids: list[str]) -> Tries:
    """Return the measurements of units that asked for one network.

    Raises:
        JobFailedError: a unit has none, or the network could not be run.
    """
    return Tries(
        measurements=tuple(measured_network(session, unit_id) for unit_id in unit_ids),
        fastest_reference_ns=fastest_reference_ns(session, unit_ids[-1]),
    )


def held_to_budget(session: Session, unit_ids: list[str], budget_ms: float) -> dict[str, Any]:
    """Return `measured`, what the tries of one network on a device say, and `met`: of its budget.

    Both are None where there are no tries or it could not be run: that fails no search.
    """
    measured = _summary(session, unit_ids)
    met = None if measured is None else measured["latency_ms"] <= budget_ms
    return {"measured": measured, "met": met}


def met_on_all(each: Sequence[Mapping[str, Any]]) -> bool | None:
    """Return whether a network keeps the budget of every device; None: that is not known.

    Args:
        each: what `held_to_budget` says of it, device by device.
    """
    verdicts = [one["met"] for one in each]
    return None if None in verdicts and False not in verdicts else all(verdicts)


def _summary(session: Session, unit_ids: list[str]) -> dict[str, Any] | None:
    if not unit_ids:
        return None
    try:
        return load_tries(session, unit_ids).summary()
    except JobFailedError:
        return None


def verified_units(session: Session, job_id: str) -> dict[str, list[str]]:
    """Return the finished verifications of a job in the order of their requests.

    By name the units of all tries. What an earlier attempt at the job asked for under the same
    name, and was of another network, is left out.
    """
    statement = select(WorkUnitRow.work, WorkUnitRow.id).where(
        WorkUnitRow.job_id == job_id,
        WorkUnitRow.state == WorkState.DONE,
        WorkUnitRow.kind == WorkKind.VERIFY,
    )
    asked: dict[str, dict[str, Any]] = {}
    found: dict[str, list[str]] = {}
    for work, unit_id in session.execute(statement.order_by(WorkUnitRow.created_at)):
        name = str(work["name"]).partition(_AGAIN)[0]
        if asked.get(name) != (same := {**work, "name": name}):
            asked[name], found[name] = same, []
        found[name].append(unit_id)
    return found
