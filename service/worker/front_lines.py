"""The front of a search as its file and its certificate state it: candidates and what they take.

Of several devices a candidate has the others in `also`; `met` and `dominated` are about all of them.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from search.strategies.pareto import ranks
from service.jobs.job_devices import OWN, SearchDevice, search_devices
from service.tables.job import JobRow
from service.worker.flow import Flow
from service.worker.stage_results import of_place, read_result
from service.worker.tries import held_to_budget, met_on_all

FRONT_FILE = "front.json"
FORMAT = "edgewright-front/1"
_MEANING = (
    "no candidate is trained: `shared_weight_accuracy` is that of its operations with weights that all "
    "networks of the search share, a hint for their order and no accuracy to expect; `measured` is the "
    "network with random weights, sparse as planned; `dominated`: another one is measured to be as fast "
    "with as good a hint, and better in one of both"
)
_OF_SEVERAL = (
    "; of several devices `met` is about all of them, another one dominates if it is as fast on each, "
    "and `budget_used` is the largest share of a budget that is predicted to be needed, which orders"
)
_PREFIX = "front-"
# Of what the trainer says of a candidate.
_STATED = ("genotype", "source", "derived", "shared_weight_accuracy", "width_distortion")


def candidate_name(number: int, index: int, place: int = OWN) -> str:
    """Return the name of the measurement of a candidate of a round on the device at a place."""
    name = f"{_PREFIX}{number}-{index}"
    return name if place == OWN else f"{name}-{place}"


def is_candidate(measurement: str) -> bool:
    """Return whether a measurement of that name is one of a candidate."""
    return measurement.startswith(_PREFIX)


def wants_front(request: Mapping[str, Any]) -> bool:
    """Return whether a job was asked for a front; older jobs do not say."""
    return bool(request.get("front", 0))


def collect_front(
    session: Session, flow: Flow, job: JobRow, number: int, units: Mapping[str, list[str]]
) -> dict[str, Any] | None:
    """Return the front of a round, the fastest by prediction first; None where none was asked for.

    Of several devices that is what is predicted to need the smallest share of the budgets.

    Args:
        session: of the database.
        flow: of the job.
        job: a search.
        number: of the round.
        units: finished verifications of the job, by name those of all tries.
    """
    if not wants_front(job.request):
        return None
    found = read_result(flow, number, "front")
    devices = search_devices(session, job)
    candidates = []
    for index, stated in enumerate(found["candidates"]):
        each = []
        for one in devices:
            unit_ids = units.get(candidate_name(number, index, one.place), [])
            predicted = of_place(stated, one.place)["prediction"]
            measured = held_to_budget(session, unit_ids, one.budget_ms)
            each.append({"predicted": predicted, **measured})
        candidates.append(_line(index, stated, devices, each))
    return {
        "format": FORMAT,
        "job_id": job.id,
        "budget_ms": devices[0].budget_ms,
        "meaning": _MEANING + (_OF_SEVERAL if len(devices) > 1 else ""),
        "judged_images": found["judged_images"],
        "path_epochs": found["path_epochs"],
        "considered": found["considered"],
        "candidates": with_dominance(candidates),
    }


def _line(
    index: int,
    stated: Mapping[str, Any],
    devices: Sequence[SearchDevice],
    each: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """Return a candidate with what each device says of it."""
    line = {name: stated[name] for name in _STATED}
    line |= {"index": index} | each[0] | {"met": met_on_all(each)}
    if len(devices) == 1:
        return line
    also = [
        {"device": one.device.name, "budget_ms": one.budget_ms, **told}
        for one, told in zip(devices[1:], each[1:], strict=True)
    ]
    return line | {"budget_used": stated["budget_used"], "also": also}


def with_dominance(candidates: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the candidates with `dominated`; what a device did not measure is compared with nothing.

    Of several devices another one dominates where it is as fast on each of them.
    """
    points = {
        one["index"]: [*latencies_ms, -one["shared_weight_accuracy"]]
        for one in candidates
        if (latencies_ms := _measured_ms(one)) is not None
    }
    of_ranks = ranks(np.array([*points.values()])).tolist() if points else []
    dominated = {index: rank > 0 for index, rank in zip(points, of_ranks, strict=True)}
    return [one | {"dominated": dominated.get(one["index"])} for one in candidates]


def _measured_ms(candidate: Mapping[str, Any]) -> list[float] | None:
    """Return what a candidate takes on each device; None where one did not measure it."""
    each = [part["measured"] for part in (candidate, *candidate.get("also", ()))]
    return None if None in each else [one["latency_ms"] for one in each]


def front_bytes(front: Mapping[str, Any]) -> bytes:
    """Return the file of a front."""
    return (json.dumps(front, indent=2, sort_keys=True) + "\n").encode()


def front_summary(front: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what a certificate lists of a front: all but the genotypes, which are in its file."""
    if front is None:
        return None
    lines = [
        {name: value for name, value in one.items() if name != "genotype"}
        for one in front["candidates"]
    ]
    return {"file": FRONT_FILE, "meaning": front["meaning"], "candidates": lines}
