"""What the trainers left in a job's folder."""

import json
from pathlib import Path
from typing import Any

from service.jobs.job_devices import OWN
from service.worker.flow import Flow


def round_folder(flow: Flow, number: int) -> Path:
    """Return the folder of one round of deriving."""
    return flow.context.job_folder(flow.job_id) / f"round-{number}"


def read_result(flow: Flow, number: int, stage: str) -> dict[str, Any]:
    """Return the result of a finished stage, or what the stages were asked ("request").

    Raises:
        ValueError: the file is damaged or no object.
        OSError: it is missing.
    """
    result = json.loads((round_folder(flow, number) / f"{stage}.json").read_bytes())
    if not isinstance(result, dict):
        raise ValueError(f"{stage}.json holds no object")
    return result


def of_place(result: dict[str, Any], place: int) -> dict[str, Any]:
    """Return what the result of a stage, a request or one control says of the device at a place."""
    found: dict[str, Any] = result if place == OWN else result["also"][place - OWN - 1]
    return found


def measurement_name(number: int, what: str, place: int = OWN) -> str:
    """Return the name of a measurement of a round on the device at a place."""
    name = f"round-{number}-{what}"
    return name if place == OWN else f"{name}-{place}"
