"""The front of a search as its file and its certificate state it: candidates and what they take."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from search.strategies.pareto import ranks
from service.tables.job import JobRow
from service.worker.flow import Flow
from service.worker.stage_results import read_result
from service.worker.tries import measured_summary

FRONT_FILE = "front.json"
FORMAT = "edgewright-front/1"
_MEANING = (
    "no candidate is trained: `shared_weight_accuracy` is that of its operations with weights that all "
    "networks of the search share, a hint for their order and no accuracy to expect; `measured` is the "
    "network with random weights, sparse as planned; `dominated`: another one is measured to be as fast "
    "with as good a hint, and better in one of both"
)
_PREFIX = "front-"
# Of what the trainer says of a candidate.
_STATED = ("genotype", "source", "derived", "shared_weight_accuracy", "width_distortion")


def candidate_name(number: int, index: int) -> str:
    """Return the name of the measurement of a candidate of a round."""
    return f"{_PREFIX}{number}-{index}"


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
    budget_ms = float(job.request["budget_ms"])
    candidates = []
    for index, stated in enumerate(found["candidates"]):
        measured = measured_summary(session, units.get(candidate_name(number, index), []))
        candidates.append(
            {name: stated[name] for name in _STATED}
            | {
                "index": index,
                "predicted": stated["prediction"],
                "measured": measured,
                "met": None if measured is None else measured["latency_ms"] <= budget_ms,
            }
        )
    return {
        "format": FORMAT,
        "job_id": job.id,
        "budget_ms": budget_ms,
        "meaning": _MEANING,
        "judged_images": found["judged_images"],
        "path_epochs": found["path_epochs"],
        "considered": found["considered"],
        "candidates": with_dominance(candidates),
    }


def with_dominance(candidates: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the candidates with `dominated`; what was not measured is compared with nothing."""
    measured = [one for one in candidates if one["measured"] is not None]
    points = [[one["measured"]["latency_ms"], -one["shared_weight_accuracy"]] for one in measured]
    of_ranks = ranks(np.array(points)).tolist() if points else []
    dominated = {one["index"]: rank > 0 for one, rank in zip(measured, of_ranks, strict=True)}
    return [one | {"dominated": dominated.get(one["index"])} for one in candidates]


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
