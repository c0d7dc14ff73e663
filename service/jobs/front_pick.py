"""A search that is ordered from the front of another: its network is trained, nothing is searched."""

from typing import Any

from sqlalchemy.orm import Session

from service.devices.use_cases import find_device
from service.errors import invalid_field
from service.jobs import repository
from service.jobs.schemas import SearchCreate
from service.tables.job import JobRow

# What an order from a front says itself; all else is that of the search that found the network.
_OWN = frozenset(
    {"name", "device", "budget_ms", "also", "controls", "seeds", "front", "from_front", "priority"}
)


def order_from_front(session: Session, order: SearchCreate) -> tuple[SearchCreate, dict[str, Any]]:
    """Return the order, completed by the search that its `from_front` names, and the genotype.

    Raises:
        InvalidValueError: there is no such search or candidate, or the order asks for something else
            than that search had.
        NotFoundError: several devices are named, and one of them is not known.
    """
    if order.front:
        raise invalid_field("/front", "Nothing is searched from a front, so there is no other one")
    job_id, _, number = str(order.from_front).partition(":")
    job = repository.job_by_id(session, job_id)
    candidates = ((job.result if job else None) or {}).get("front", {}).get("candidates", [])
    if job is None or not candidates:
        raise invalid_field(
            "/from_front", "No job with this id has a front; see `result` of GET /v1/jobs/ID"
        )
    if int(number) >= len(candidates):
        raise invalid_field(
            "/from_front", f"The front of this job has the numbers 0 to {len(candidates) - 1}"
        )
    _check_devices(session, order, job)
    taken = {
        name: job.request[name]
        for name in SearchCreate.model_fields
        if name not in _OWN and name in job.request
    }
    for name in sorted(order.model_fields_set & taken.keys()):
        if getattr(order, name) != taken[name]:
            message = f"The network was searched with {taken[name]!r}; leave this out"
            raise invalid_field(f"/{name}", message)
    return order.model_copy(update=taken), candidates[int(number)]["genotype"]


def _check_devices(session: Session, order: SearchCreate, job: JobRow) -> None:
    """Refuse several devices that are not those of the search; of one it may be another."""
    searched = [job.request["device"], *(one["device"] for one in job.request.get("also", ()))]
    named = [order.device, *(one.device for one in order.also)]
    if len(searched) == len(named) == 1:
        return
    if {find_device(session, name).name for name in named} != set(searched):
        message = (
            f"The network was searched for {', '.join(searched)}; name these, each with a budget"
        )
        raise invalid_field("/also", message)
