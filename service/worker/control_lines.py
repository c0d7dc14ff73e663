"""The controls of a search as its certificate states them: what it had to beat, as measured."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from service.tables.job import JobRow
from service.worker.flow import Flow
from service.worker.stage_results import read_result
from service.worker.tries import measured_summary

_METHOD = (
    "each control is under the budget by the same table and trained as long, with the same seeds; "
    "accuracies are of the whole test set; the file of the first seed is measured as the network "
    "itself; better means by more than half the 90 % interval of the test set and the spread of seeds"
)
_PREFIX = "control-"


def control_name(number: int, control: str) -> str:
    """Return the name of the measurement of a control of a round."""
    return f"{_PREFIX}{number}-{control}"


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
    budget_ms = float(job.request["budget_ms"])
    lines = []
    for line in found["controls"]:
        unit_ids = units.get(control_name(number, line["name"]), [])
        lines.append(line | _measured(session, unit_ids, budget_ms))
    verdict = "; ".join(_in_words(line) for line in lines)
    return found | {"controls": lines, "verdict": verdict, "method": _METHOD}


def control_artifacts(controls: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the files of the controls: digest by name."""
    lines = [] if controls is None else controls["controls"]
    return {f"control-{line['name']}.onnx": line["sha256"] for line in lines if "sha256" in line}


def _measured(session: Session, unit_ids: list[str], budget_ms: float) -> dict[str, Any]:
    """Return what the device says of a control; a control that it could not run fails no search."""
    measured = measured_summary(session, unit_ids)
    met = None if measured is None else measured["latency_ms"] <= budget_ms
    return {"measured": measured, "met": met}


def _in_words(line: Mapping[str, Any]) -> str:
    verdict = str(line["verdict"])
    if line["met"] is False:
        verdict += f", which is over the budget: {line['measured']['latency_ms']:.4f} ms measured"
    return verdict
