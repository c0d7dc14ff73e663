"""Plan and profile files: what a board without a server is asked to measure, and what it found."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from latency.exchange.document import from_document, read_file, write_document
from latency.exchange.times import date_problems, refuse, time_problems
from latency.measurement import Conditions, NetworkMeasurement, OperatorMeasurement
from latency.messages import ProfileWork
from latency.quarantine import Evidence, judge
from latency.target import Target

PLAN = "edgewright-plan"
PROFILE = "edgewright-profile"


@dataclass(frozen=True, kw_only=True)
class ProfileFile:
    """Raw samples of one device with all that is needed to judge them."""

    device: str = ""  # its name at the service that exported it; empty where there was none
    target: Target
    conditions: Conditions
    operators: tuple[OperatorMeasurement, ...]
    networks: tuple[NetworkMeasurement, ...]
    conditions_after: Conditions | None = None


def plausible(profile: ProfileFile) -> ProfileFile:
    """Return the profile with an error in place of every measurement that cannot be true."""
    verdict = judge(profile.operators, profile.networks, Evidence(target=profile.target))
    return replace(
        profile,
        operators=tuple(
            replace(measured, samples=None, error=reason) if reason else measured
            for measured, reason in zip(profile.operators, verdict.operators, strict=True)
        ),
        networks=tuple(
            replace(measured, error=reason) if reason else measured
            for measured, reason in zip(profile.networks, verdict.networks, strict=True)
        ),
    )


def unused(profiles: Iterable[ProfileFile]) -> list[str]:
    """Return each measurement that cannot be used, and why: it failed, or it cannot be true."""
    return [
        f"{name}: {error}"
        for profile in map(plausible, profiles)
        for name, error in (
            *((measured.spec.label(), measured.error) for measured in profile.operators),
            *((measured.name, measured.error) for measured in profile.networks),
        )
        if error
    ]


def read_plan(path: Path) -> ProfileWork:
    """Return the work that a plan file asks for.

    Raises:
        ValueError: no such file, not a plan, or nothing in it; the message names the file.
    """
    work = read_file(path, lambda data: from_document(data, PLAN, ProfileWork))
    if not work.operators and not work.networks:
        raise ValueError(f"{path}: the plan has no operators and no networks")
    return work


def write_plan(path: Path, work: ProfileWork) -> None:
    """Write a plan file; ValueError where its folder does not exist."""
    write_document(path, work, PLAN)


def profile_of_document(data: bytes) -> ProfileFile:
    """Return the content of a profile file.

    Raises:
        ValueError: it is damaged, of another kind, or a date or sample is none; says what and where.
    """
    profile = from_document(data, PROFILE, ProfileFile)
    check_profile_file(profile)
    return profile


def check_profile_file(profile: ProfileFile, path: str = "$") -> None:
    """Raise ValueError for dates that are none and times that no clock gives, below a path."""
    place = f"{path}.conditions.started_at"
    refuse("profile", date_problems(place, profile.conditions.started_at))
    problems = time_problems(profile.operators, profile.networks, path)
    refuse("samples that no clock gives", problems)


def read_profile(path: Path) -> ProfileFile:
    """Return what a profile file holds; ValueError names the file and what is wrong with it."""
    return read_file(path, profile_of_document)


def write_profile(path: Path, profile: ProfileFile) -> None:
    """Write a profile file; ValueError where its folder does not exist."""
    write_document(path, profile, PROFILE)
