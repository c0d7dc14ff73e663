"""The steps of a search that are no training: checks, measurements, the end."""

import json
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from latency.graph import NetworkGraph
from latency.kernels.library import LIBRARY_FILE, library_path, library_version
from latency.measurement import Rivals
from latency.messages import VerifyWork
from latency.operator import Regime
from latency.units import ns_to_ms
from service.artifacts.use_cases import attach_artifact, record_artifact
from service.datasets.use_cases import find_dataset
from service.devices.use_cases import get_device
from service.jobs.feasibility import check_budget, smallest_budget_ms
from service.jobs.journal import NOTE_EVENT, move, record
from service.jobs.use_cases import get_job
from service.lifecycle import JobState
from service.profiling.planning import profiled_space
from service.profiling.use_cases import load_table
from service.worker.certificate import (
    CertificateFacts,
    certificate,
    comparison_name,
    graph_name,
    model_name,
)
from service.worker.control_lines import control_artifacts
from service.worker.device_work import ask_device
from service.worker.flow import Flow
from service.worker.front_lines import FRONT_FILE, front_bytes
from service.worker.stage_results import read_request, read_result, round_folder
from service.worker.tries import (
    Expectation,
    Tries,
    doubt,
    load_tries,
    try_name,
    verified_units,
)

_COMPARED_PROCESSES = 7
_MARGIN = 0.99  # the next round aims this much below what the measurement asks for
_ONNX = "application/octet-stream"
_MEDIA_TYPES = {
    LIBRARY_FILE: "application/octet-stream",
    "model.onnx": _ONNX,
    "genotype.json": "application/json",
    "certificate.json": "application/json",
    FRONT_FILE: "application/json",
}


def check_feasible(flow: Flow) -> int:
    """Step: refuse a budget that no network can meet, before any training; returns the priority.

    Raises:
        BudgetInfeasibleError: names the nearest budget that can be met.
    """
    with flow.job() as (session, job):
        device = get_device(session, str(job.device_id))
        check_budget(
            load_table(session, str(job.table_id)),
            profiled_space(job.request, find_dataset(session, job.request["dataset"]).task),
            job.request["budget_ms"],
            device=device.name,
        )
        return job.priority


def is_given(flow: Flow) -> bool:
    """Step: return whether the job trains a network that another search has found."""
    with flow.context.database.reading() as session:
        return "genotype" in get_job(session, flow.job_id).request


def ask_for_graph(flow: Flow, number: int, tried: int) -> str:
    """Step: ask the device to time the derived network with random weights."""
    derived = read_result(flow, number, "derive")
    graph = NetworkGraph.from_dict(derived["graph"])
    with flow.job() as (session, job):
        work = VerifyWork(name=try_name(graph_name(number), tried), graph=graph)
        return ask_device(flow, session, job, work)


def ask_for_model(flow: Flow, number: int, tried: int) -> str:
    """Step: store the exported file and ask the device to time it."""
    exported = read_result(flow, number, "export")
    path = round_folder(flow, number) / "model.onnx"
    name = try_name(model_name(number), tried)
    return ask_for_file(flow, path, exported["sha256"], name)


def ask_for_file(flow: Flow, path: Path, sha256: str, name: str) -> str:
    """Store an ONNX file and ask the device to time it; returns the id of the unit.

    Raises:
        ValueError: the file is not the one with this digest.
    """
    stored = flow.context.store.add_file(path)
    if stored.sha256 != sha256:
        raise ValueError(f"{path.name} is not the file that the trainer wrote")
    with flow.job() as (session, job):
        now = flow.context.clock()
        record_artifact(session, stored, media_type=_ONNX, now=now)
        work = VerifyWork(name=name, artifact_sha256=stored.sha256)
        return ask_device(flow, session, job, work)


def ask_for_comparison(flow: Flow, number: int) -> str:
    """Step: ask the device to time the file in turns with its dense parent, for the speed-up.

    What the file itself takes was measured before, alone: neighbours cost it some of the caches.
    """
    exported = read_result(flow, number, "export")
    rivals = Rivals(
        dense_parent=NetworkGraph.from_dict(exported["dense_parent"]),
        without_library=exported["regime"] == Regime.LIBRARY,
    )
    with flow.job() as (session, job):
        work = VerifyWork(
            name=comparison_name(number),
            artifact_sha256=exported["sha256"],
            processes=_COMPARED_PROCESSES,
            rivals=rivals,
        )
        return ask_device(flow, session, job, work)


def is_doubtful(flow: Flow, unit_ids: list[str], number: int) -> bool:
    """Step: return whether the device should measure again, and note why."""
    with flow.context.database.reading() as session:
        tries = load_tries(session, unit_ids)
        expected = _expectation(flow, session, tries.together.name, number)
    reason = doubt(tries, expected)
    if reason:
        note = _measured_note(tries, expected.budget_ms)
        note["message"] += f"; it is measured again: {reason}"
        with flow.job() as (session, job):
            record(session, job, NOTE_EVENT, note, flow.context.clock())
    return bool(reason)


def _expectation(flow: Flow, session: Session, name: str, number: int) -> Expectation:
    is_model = name == model_name(number)
    prediction = read_result(flow, number, "export" if is_model else "derive")["prediction"]
    before = verified_units(session, flow.job_id).get(graph_name(number)) if is_model else None
    before_ns = None if before is None else load_tries(session, before).together.median_ns
    return Expectation(
        budget_ms=float(get_job(session, flow.job_id).request["budget_ms"]),
        high_ms=None if prediction is None else prediction["high_ms"],
        before_ms=None if before_ns is None else ns_to_ms(before_ns),
    )


def judge(flow: Flow, unit_ids: list[str], number: int) -> float | None:
    """Step: compare what all tries at a measurement say together with the budget.

    Returns the factor on the budget with which to derive again; None where the budget is met, or
    where the table says that nothing tighter can be made.
    """
    with flow.context.database.reading() as session:
        tries = load_tries(session, unit_ids)
        request = get_job(session, flow.job_id).request
    budget_ms = float(request["budget_ms"])
    note = _measured_note(tries, budget_ms)
    tighter = None if note["met"] else _tighter(flow, number, note["latency_ms"], budget_ms)
    with flow.job() as (session, job):
        record(session, job, NOTE_EVENT, note, flow.context.clock())
    return tighter


def _measured_note(tries: Tries, budget_ms: float) -> dict[str, Any]:
    """Return what an event says of a measurement."""
    measured, count = tries.together, len(tries.measurements)
    latency_ms = ns_to_ms(measured.median_ns)
    taken = f"measured {latency_ms:.4f} ms" + (f" in {count} tries" if count > 1 else "")
    return {
        "message": f"{measured.name}: {taken}, budget {budget_ms:g} ms",
        "measurement": measured.name,
        "latency_ms": latency_ms,
        "budget_ms": budget_ms,
        "met": latency_ms <= budget_ms,
        "tries": count,
    }


def _tighter(flow: Flow, number: int, latency_ms: float, budget_ms: float) -> float | None:
    factor = read_request(flow, number).tighten * budget_ms / latency_ms * _MARGIN
    with flow.context.database.reading() as session:
        job = get_job(session, flow.job_id)
        table = load_table(session, str(job.table_id))
        space = profiled_space(job.request, find_dataset(session, job.request["dataset"]).task)
    smallest_ms = smallest_budget_ms(table, space)
    return factor if factor * budget_ms >= smallest_ms else None


def note_unmeasured(flow: Flow, what: str, error: dict[str, Any]) -> None:
    """Step: note that a network beside that of the search could not be measured; the job goes on."""
    with flow.job() as (session, job):
        flow.enter(session, job, JobState.RUNNING)
        message = f"{what} is not measured: {error.get('message', '')}"
        record(session, job, NOTE_EVENT, {"message": message}, flow.context.clock())


def finish(flow: Flow, number: int) -> None:
    """Step: store genotype, front and certificate, and end the job: done, or over budget."""
    with flow.context.database.reading() as session:
        facts = CertificateFacts.collect(session, flow, number)
    store, folder = flow.context.store, round_folder(flow, number)
    files = {
        "model.onnx": store.add_file(folder / "model.onnx"),
        "genotype.json": store.add_file(folder / "genotype.json"),
    }
    library = _library_of(facts)
    if library is not None:
        files[LIBRARY_FILE] = store.add_file(library)
        facts = replace(facts, library_sha256=files[LIBRARY_FILE].sha256)
    if facts.front is not None:
        files[FRONT_FILE] = store.add_bytes(front_bytes(facts.front))
    text = json.dumps(certificate(facts), indent=2, sort_keys=True) + "\n"
    files["certificate.json"] = store.add_bytes(text.encode())
    with flow.job() as (session, job):
        now = flow.context.clock()
        for name, stored in files.items():
            record_artifact(session, stored, media_type=_MEDIA_TYPES[name], now=now)
            attach_artifact(session, job.id, name, stored.sha256)
        for name, sha256 in control_artifacts(facts.controls).items():
            attach_artifact(session, job.id, name, sha256)
        content: dict[str, Any] = json.loads(text)
        job.result = {"genotype": facts.genotype, "certificate": content}
        if facts.front is not None:
            job.result["front"] = facts.front
        if content["met"]:
            move(session, job, JobState.SUCCEEDED, now)
            return
        job.error = {"code": "over-budget", "message": content["verdict"]}
        move(session, job, JobState.FAILED, now, {"error": job.error})


def _library_of(facts: CertificateFacts) -> Path | None:
    """Return the operator library that the file was measured with, where this machine has it.

    A device of another kind has a library of its own, which came with its agent.
    """
    target = facts.device.target
    here = (platform.machine(), library_version())
    same = here == (target.facts.machine, target.operator_library)
    return library_path() if same and facts.exported["regime"] == Regime.LIBRARY else None
