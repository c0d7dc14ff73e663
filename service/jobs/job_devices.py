"""The devices of a job by their places: 1 is its own, which most jobs have to themselves."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from service.devices.use_cases import Device, get_device
from service.jobs import repository
from service.tables.job import JobDeviceRow, JobRow

OWN = 1


def places(devices: int) -> range:
    """Return the places of so many devices."""
    return range(OWN, OWN + devices)


@dataclass(frozen=True, kw_only=True)
class SearchDevice:
    """A device that the network of a search is for."""

    place: int
    device: Device
    budget_ms: float
    table_id: str | None  # None: not known yet


def add_devices(session: Session, job: JobRow, devices: Sequence[tuple[Device, float]]) -> None:
    """Store devices beside the job's own, each with its budget in milliseconds."""
    session.add_all(
        JobDeviceRow(job_id=job.id, place=place, device_id=device.id, budget_ms=budget_ms)
        for place, (device, budget_ms) in enumerate(devices, start=OWN + 1)
    )
    session.flush()


def search_devices(session: Session, job: JobRow) -> list[SearchDevice]:
    """Return the devices of a search in order.

    Raises:
        NotFoundError: one is not there any more.
    """
    own = SearchDevice(
        place=OWN,
        device=get_device(session, str(job.device_id)),
        budget_ms=float(job.request["budget_ms"]),
        table_id=job.table_id,
    )
    others = [
        SearchDevice(
            place=row.place,
            device=get_device(session, row.device_id),
            budget_ms=row.budget_ms,
            table_id=row.table_id,
        )
        for row in repository.further_devices(session, job.id)
    ]
    return [own, *others]


def device_id_at(session: Session, job: JobRow, place: int) -> str:
    """Return the id of the device of any job at a place."""
    return str(job.device_id) if place == OWN else _row(session, job, place).device_id


def table_id_at(session: Session, job: JobRow, place: int) -> str | None:
    """Return the table that the device at a place is priced by; None: not known yet."""
    return job.table_id if place == OWN else _row(session, job, place).table_id


def take_table(session: Session, job: JobRow, place: int, table_id: str) -> None:
    """Note which table the device at a place is priced by."""
    row: JobRow | JobDeviceRow = job if place == OWN else _row(session, job, place)
    row.table_id = table_id


def _row(session: Session, job: JobRow, place: int) -> JobDeviceRow:
    return session.get_one(JobDeviceRow, (job.id, place))
