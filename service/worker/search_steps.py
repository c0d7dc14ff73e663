"""The steps of a search that are no training: checks, measurements, the end."""

import json
import platform
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
from service.jobs.feasibility import check_budget, smallest_budget_ms
from service.jobs.given_network import job_space
from service.jobs.job_devices import OWN, SearchDevice, search_devices
from service.jobs.journal import NOTE_EVENT, move, record
from service.jobs.use_cases import get_job
from service.lifecycle import JobState
from service.profiling.use_cases import load_table
from service.worker.certificate import CertificateFacts, certificate
from service.worker.control_lines import control_artifacts
from service.worker.device_results import DeviceResult
from service.worker.device_work import ask_device
from service.worker.flow import Flow
from service.worker.front_lines import FRONT_FILE, front_bytes
from service.worker.stage_results import (
    measurement_name,
    of_place,
    read_result,
    round_folder,
)
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
_BINARY = "application/octet-stream"  # of ONNX files and of the operator library


def count_devices(flow: Flow) -> int:
    """Step: return how many devices the network is for."""
    with flow.context.database.reading() as session:
        return len(search_devices(session, get_job(session, flow.job_id)))


def check_feasible(flow: Flow) -> int:
    """Step: refuse a budget that no network can meet, before any training; returns the priority.

    Budgets of several devices are checked one by one; whether they can be met together, the
    trainer finds out before it trains.

    Raises:
        BudgetInfeasibleError: names the device and the nearest budget that can be met there.
    """
    with flow.job() as (session, job):
        task = find_dataset(session, job.request["dataset"]).task
        space = job_space(flow.context.store, job.request, task)
        for one in search_devices(session, job):
            table = load_table(session, str(one.table_id))
            check_budget(table, space, one.budget_ms, device=one.device.name)
        return job.priority


def is_given(flow: Flow) -> bool:
    """Step: return whether the job trains a network that another search has found."""
    with flow.context.database.reading() as session:
        return "genotype" in get_job(session, flow.job_id).request


def ask_for_graph(flow: Flow, number: int, tried: int, place: int = OWN) -> str:
    """Step: ask a device to time the derived network with random weights."""
    derived = of_place(read_result(flow, number, "derive"), place)
    graph = NetworkGraph.from_dict(derived["graph"])
    with flow.job() as (session, job):
        name = try_name(measurement_name(number, "graph", place), tried)
        return ask_device(flow, session, job, VerifyWork(name=name, graph=graph), place)


def ask_for_model(flow: Flow, number: int, tried: int, place: int = OWN) -> str:
    """Step: store the file that was exported for a device and ask the device to time it."""
    exported = of_place(read_result(flow, number, "export"), place)
    path = round_folder(flow, number) / exported["path"]
    name = try_name(measurement_name(number, "model", place), tried)
    return ask_for_file(flow, path, exported["sha256"], name, place)


def ask_for_file(flow: Flow, path: Path, sha256: str, name: str, place: int = OWN) -> str:
    """Store an ONNX file and ask a device to time it; returns the id of the unit.

    Raises:
        ValueError: the file is not the one with this digest.
    """
    stored = flow.context.store.add_file(path)
    if stored.sha256 != sha256:
        raise ValueError(f"{path.name} is not the file that the trainer wrote")
    with flow.job() as (session, job):
        now = flow.context.clock()
        record_artifact(session, stored, media_type=_BINARY, now=now)
        work = VerifyWork(name=name, artifact_sha256=stored.sha256)
        return ask_device(flow, session, job, work, place)


def ask_for_comparison(flow: Flow, number: int, place: int = OWN) -> str:
    """Step: ask a device to time its file in turns with its dense parent, for the speed-up.

    What the file itself takes was measured before, alone: neighbours cost it some of the caches.
    """
    exported = of_place(read_result(flow, number, "export"), place)
    rivals = Rivals(
        dense_parent=NetworkGraph.from_dict(exported["dense_parent"]),
        without_library=exported["regime"] == Regime.LIBRARY,
    )
    with flow.job() as (session, job):
        work = VerifyWork(
            name=measurement_name(number, "comparison", place),
            artifact_sha256=exported["sha256"],
            processes=_COMPARED_PROCESSES,
            rivals=rivals,
        )
        return ask_device(flow, session, job, work, place)


def is_doubtful(flow: Flow, unit_ids: list[str], number: int, place: int = OWN) -> bool:
    """Step: return whether a device should measure again, and note why."""
    with flow.context.database.reading() as session:
        tries = load_tries(session, unit_ids)
        devices = search_devices(session, get_job(session, flow.job_id))
        own = devices[place - OWN]
        expected = _expectation(flow, session, tries.together.name, number, own)
    reason = doubt(tries, expected)
    if reason:
        note = _measured_note(tries, own, of=len(devices))
        note["message"] += f"; it is measured again: {reason}"
        with flow.job() as (session, job):
            record(session, job, NOTE_EVENT, note, flow.context.clock())
    return bool(reason)


def _expectation(
    flow: Flow, session: Session, name: str, number: int, own: SearchDevice
) -> Expectation:
    is_model = name == measurement_name(number, "model", own.place)
    stage = read_result(flow, number, "export" if is_model else "derive")
    prediction = of_place(stage, own.place)["prediction"]
    graph = measurement_name(number, "graph", own.place)
    before = verified_units(session, flow.job_id).get(graph) if is_model else None
    before_ns = None if before is None else load_tries(session, before).together.median_ns
    return Expectation(
        budget_ms=own.budget_ms,
        high_ms=None if prediction is None else prediction["high_ms"],
        before_ms=None if before_ns is None else ns_to_ms(before_ns),
    )


def judge(flow: Flow, unit_ids: list[str], number: int, place: int = OWN) -> float | None:
    """Step: compare what all tries at a measurement say together with the budget of its device.

    Returns the factor on the budget with which to derive again; None where the budget is met, or
    where the table says that nothing tighter can be made.
    """
    with flow.context.database.reading() as session:
        tries = load_tries(session, unit_ids)
        devices = search_devices(session, get_job(session, flow.job_id))
    own = devices[place - OWN]
    note = _measured_note(tries, own, of=len(devices))
    tighter = None if note["met"] else _tighter(flow, number, own, note["latency_ms"])
    with flow.job() as (session, job):
        record(session, job, NOTE_EVENT, note, flow.context.clock())
    return tighter


def _measured_note(tries: Tries, own: SearchDevice, *, of: int) -> dict[str, Any]:
    """Return what an event says of a measurement on one of so many devices."""
    measured, count = tries.together, len(tries.measurements)
    latency_ms, budget_ms = ns_to_ms(measured.median_ns), own.budget_ms
    taken = f"measured {latency_ms:.4f} ms" + (f" in {count} tries" if count > 1 else "")
    on = f" on {own.device.name}" if of > 1 else ""
    return {
        "message": f"{measured.name}: {taken}{on}, budget {budget_ms:g} ms",
        "measurement": measured.name,
        "device": own.device.name,
        "latency_ms": latency_ms,
        "budget_ms": budget_ms,
        "met": latency_ms <= budget_ms,
        "tries": count,
    }


def _tighter(flow: Flow, number: int, own: SearchDevice, latency_ms: float) -> float | None:
    before = of_place(read_result(flow, number, "request"), own.place)["tighten"]
    factor = before * own.budget_ms / latency_ms * _MARGIN
    with flow.context.database.reading() as session:
        job = get_job(session, flow.job_id)
        table = load_table(session, str(own.table_id))
        task = find_dataset(session, job.request["dataset"]).task
        space = job_space(flow.context.store, job.request, task)
    smallest_ms = smallest_budget_ms(table, space)
    return factor if factor * own.budget_ms >= smallest_ms else None


def note_unmeasured(flow: Flow, what: str, error: dict[str, Any], place: int = OWN) -> None:
    """Step: note that a network beside that of the search could not be measured; the job goes on."""
    with flow.job() as (session, job):
        flow.enter(session, job, JobState.RUNNING)
        devices = search_devices(session, job)
        on = f" on {devices[place - OWN].device.name}" if len(devices) > 1 else ""
        message = f"{what} is not measured{on}: {error.get('message', '')}"
        record(session, job, NOTE_EVENT, {"message": message}, flow.context.clock())


def finish(flow: Flow, number: int) -> None:
    """Step: store genotype, front and certificate, and end the job: done, or over budget."""
    with flow.context.database.reading() as session:
        facts = CertificateFacts.collect(session, flow, number)
    store, folder = flow.context.store, round_folder(flow, number)
    names = [*(str(result.exported["path"]) for result in facts.devices), "genotype.json"]
    files = {name: store.add_file(folder / name) for name in names}
    libraries = {}
    for result in facts.devices:
        if (library := _library_of(result)) is not None:
            files[LIBRARY_FILE] = store.add_file(library)
            libraries[result.own.device.id] = files[LIBRARY_FILE].sha256
    if facts.front is not None:
        files[FRONT_FILE] = store.add_bytes(front_bytes(facts.front))
    text = json.dumps(certificate(facts, libraries), indent=2, sort_keys=True) + "\n"
    files["certificate.json"] = store.add_bytes(text.encode())
    with flow.job() as (session, job):
        now = flow.context.clock()
        for name, stored in files.items():
            record_artifact(session, stored, media_type=_media_type(name), now=now)
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


def _media_type(name: str) -> str:
    return "application/json" if name.endswith(".json") else _BINARY


def _library_of(result: DeviceResult) -> Path | None:
    """Return the operator library that a file was measured with, where this machine has it.

    A device of another kind has a library of its own, which came with its agent.
    """
    target = result.own.device.target
    here = (platform.machine(), library_version())
    same = here == (target.facts.machine, target.operator_library)
    return library_path() if same and result.exported["regime"] == Regime.LIBRARY else None
