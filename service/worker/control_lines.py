"""The controls of a search as its certificate states them: what it had to beat, as measured."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from service.jobs.job_devices import OWN, SearchDevice, search_devices
from service.tables.job import JobRow
from service.worker.flow import Flow
from service.worker.stage_results import read_result
from service.worker.tries import held_to_budget, met_on_all

_METHOD = (
    "each control is under the budget by the same table and trained as long, with the same seeds; of "
    "several devices it is under every budget, and `met` is about all of them; "
    "accuracies are of the whole test set; the file of the first seed is measured as the network "
    "itself; better means by more than half the 90 % interval of the test set and the spread of seeds"
)
_PREFIX = "control-"


def control_name(number: int, control: str, place: int = OWN) -> str:
    """Return the name of the measurement of a control of a round on the device at a place."""
    return f"{_PREFIX}{number}-{_at(control, place)}"


def is_control(measurement: str) -> bool:
    """Return whether a measurement of that name is one of a control."""
    return measurement.startswith(_PREFIX)


def wants_controls(request: Mapping[str, Any]) -> bool:
    """Return whether a job was asked for controls; older jobs do not say."""
    return bool(request.get("controls", False))


def collect_controls(
    session: Session, flow: Flow, job: JobRow, number: int, units: Mapping[str, list[str]]
) -> dict[str, Any] | None:
    """Return what a certificate says of the controls of a round; None where none were asked for.

    Args:
        session: of the database.
        flow: of the job.
        job: a search.
        number: of the round.
        units: of the finished verifications of the job, by name.
    """
    if not wants_controls(job.request):
        return None
    found = read_result(flow, number, "controls")
    devices = search_devices(session, job)
    lines, verdicts = [], []
    for line in found["controls"]:
        each = []
        for one in devices:
            unit_ids = units.get(control_name(number, line["name"], one.place), [])
            each.append(held_to_budget(session, unit_ids, one.budget_ms))
        lines.append(_line(line, devices, each))
        verdicts.append(_in_words(line, devices, each))
    return found | {"controls": lines, "verdict": "; ".join(verdicts), "method": _METHOD}


def control_artifacts(controls: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the files of the controls: digest by name."""
    lines = [] if controls is None else controls["controls"]
    return {
        f"control-{_at(line['name'], place)}.onnx": one["sha256"]
        for line in lines
        for place, one in enumerate((line, *line.get("also", ())), start=OWN)
        if "sha256" in one
    }


def _at(control: str, place: int) -> str:
    return control if place == OWN else f"{control}-{place}"


def _line(
    line: dict[str, Any], devices: list[SearchDevice], each: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return a control with what each device says of it; `met` on top is about all of them."""
    own, *others = each
    also = [
        {"device": one.device.name, "budget_ms": one.budget_ms, **told, **measured}
        for one, told, measured in zip(
            devices[1:], line.get("also") or [{}] * len(others), others, strict=True
        )
    ]
    return line | own | {"met": met_on_all(each)} | ({"also": also} if also else {})


def _in_words(
    line: Mapping[str, Any], devices: list[SearchDevice], each: list[dict[str, Any]]
) -> str:
    over = [
        f"{f' on {one.device.name}' if len(devices) > 1 else ''}: "
        f"{measured['measured']['latency_ms']:.4f} ms measured"
        for one, measured in zip(devices, each, strict=True)
        if measured["met"] is False
    ]
    verdict = str(line["verdict"])
    return f"{verdict}, which is over the budget{','.join(over)}" if over else verdict
