"""Submit, profile, search, export, verify, download: once, with the worker killed on the way, and the
job cancelled and resumed.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from latency.kernels.library import LIBRARY_FILE, library_path, library_version
from latency.plan import TOLERANCE
from latency.target import STOCK_LIBRARY
from search.space.genotype import Genotype
from service.client import Client
from service.client.errors import BudgetInfeasibleError
from service.jobs.schemas import JobRead
from service.lifecycle import JobState
from tests.end_to_end.installation import DEVICE, Installation, is_epoch
from tests.python_path import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

ROWS = 150
SPACE = {"channels": 4, "cells": 3, "rows": ROWS}
GENEROUS_MS = 50.0
FRONT = 3
CONTROLS = ["random", "dense", "int8", "random-mask"]


@pytest.fixture(scope="module")
def finished(installation: Installation, client: Client) -> tuple[JobRead, list[dict[str, Any]]]:
    """A search that ran through in the end, and the reports of its trainers.

    In its first epoch the worker is killed; in the final training it is cancelled, and resumed.
    """
    job = client.search(
        DEVICE, GENEROUS_MS, recipe="tiny", seed=3, controls=True, front=FRONT, **SPACE
    )
    reports: list[dict[str, Any]] = []
    seen = 0
    for event in client.events(job.id):
        seen = event.number
        if is_epoch(event):
            reports.append(event.payload)
            if len(reports) == 1:
                installation.kill_worker()
            if event.payload["stage"] == "train":
                client.cancel(job.id)
                break
    installation.wait_for_trainers(job.id)
    assert client.resume(job.id).attempt == 1, installation.logs()
    reports += [event.payload for event in client.events(job.id, seen) if is_epoch(event)]
    ended = client.job(job.id)
    assert ended.state is JobState.SUCCEEDED, f"{ended.error}\n{installation.logs()}"
    return ended, reports


def epochs_of(stage: str, reports: list[dict[str, Any]]) -> tuple[list[int], list[int]]:
    """Return the epochs of a stage as they were reported, and all that there are."""
    found = [report for report in reports if report["stage"] == stage]
    return [report["epoch"] for report in found], list(range(1, found[0]["epochs"] + 1))


def test_a_killed_worker_costs_no_epoch_and_no_repeated_epoch(
    finished: tuple[JobRead, list[dict[str, Any]]],
) -> None:
    reported, wanted = epochs_of("search", finished[1])
    assert reported == wanted


def test_a_cancelled_search_leaves_no_trainer_and_goes_on_where_it_was(
    finished: tuple[JobRead, list[dict[str, Any]]],
) -> None:
    job, reports = finished
    assert job.attempt == 1
    reported, wanted = epochs_of("train", reports)
    assert reported == sorted(set(reported)), "none twice"
    assert reported[0] == 1
    assert len(wanted) - len(reported) <= 1  # one may have ended while the job was cancelled


def test_the_certificate_states_what_was_measured(
    client: Client, finished: tuple[JobRead, list[dict[str, Any]]]
) -> None:
    job, _ = finished
    certificate = client.candidates(job.id)[0].certificate
    assert certificate["met"] is True
    assert 0 < certificate["measured"]["latency_ms"] <= GENEROUS_MS
    assert len(certificate["measured"]["processes_ms"]) == 5
    predicted = certificate["predicted"]
    assert 0 < predicted["low_ms"] <= predicted["latency_ms"] <= predicted["high_ms"]
    assert 0 <= certificate["accuracy"] <= 1
    assert certificate["test_images"] > 300
    assert certificate["seed"] == 3
    table = client.table(certificate["table"]["id"])
    assert predicted["table_version"] == table.version
    assert predicted["target_fingerprint"] == table.target_fingerprint
    assert table.operators == certificate["table"]["operators"] > 50
    assert table.error is not None
    assert 3 <= table.error.networks <= 4  # one may have been measured on a disturbed machine


def test_the_certificate_compares_the_file_with_its_rivals(
    client: Client, finished: tuple[JobRead, list[dict[str, Any]]]
) -> None:
    job, _ = finished
    certificate = client.candidates(job.id)[0].certificate
    library = certificate["operator_library"]
    assert library["version"] == (library_version() or STOCK_LIBRARY)
    rivals = {"dense_parent"}
    if certificate["regime"] == "library":
        rivals.add("without_library")
        digest = hashlib.sha256(Path(str(library_path())).read_bytes()).hexdigest()
        assert library["sha256"] == digest
    compared = certificate["compared"]
    assert set(compared) == {"method", "latency_ms"} | rivals
    for name in rivals:
        faster = compared[name]["speed_up"]
        assert faster["processes"] == 7
        assert 0 < faster["low"] <= faster["ratio"] <= faster["high"]
    table = client.table(certificate["table"]["id"])
    assert (table.library_error is None) == (library_path() is None)


def test_the_certificate_says_what_the_search_had_to_beat(
    client: Client, finished: tuple[JobRead, list[dict[str, Any]]]
) -> None:
    job, _ = finished
    controls = client.candidates(job.id)[0].certificate["controls"]
    assert [line["name"] for line in controls["controls"]] == CONTROLS
    for line in controls["controls"]:
        assert line["met"] is True
        assert 0 < line["measured"]["latency_ms"] <= GENEROUS_MS
        assert len(line["measured"]["processes_ms"]) == 5
        assert 0 <= line["accuracy"] <= 1
        better = f"better than control {line['name']} by "
        assert line["verdict"].startswith(better) == (line["gained"] > line["uncertainty"])
        assert line["verdict"] in controls["verdict"]


def test_a_network_of_the_front_is_measured_and_can_be_trained(
    client: Client, finished: tuple[JobRead, list[dict[str, Any]]]
) -> None:
    job, _ = finished
    assert job.result is not None
    candidates = job.result["front"]["candidates"]
    assert [one["index"] for one in candidates] == list(range(FRONT))
    assert sum(one["derived"] for one in candidates) == 1
    assert any(one["dominated"] is False for one in candidates)
    for one in candidates:
        assert 0 < one["measured"]["latency_ms"] <= GENEROUS_MS
        assert one["predicted"]["table_version"] > 0
        assert 0 <= one["shared_weight_accuracy"] <= 1
    found = client.search(DEVICE, GENEROUS_MS, from_front=f"{job.id}:0")
    ended = client.wait(found.id, timeout_s=300)
    assert ended.state is JobState.SUCCEEDED, ended.error
    certificate = client.candidates(found.id)[0].certificate
    assert (certificate["met"], certificate["front"]) == (True, None)
    genotype = Genotype.from_dict(candidates[0]["genotype"])
    trained = Genotype.from_dict(certificate["genotype"])
    assert (trained.normal, trained.reduce) == (genotype.normal, genotype.reduce)
    assert certificate["request"]["from_front"] == f"{job.id}:0"


def test_the_downloaded_model_runs_in_a_plain_session(
    client: Client, finished: tuple[JobRead, list[dict[str, Any]]], tmp_path: Path
) -> None:
    job, _ = finished
    files = client.pull(job.id, tmp_path)
    certificate = json.loads(files["certificate.json"].read_text())
    library = [LIBRARY_FILE] if certificate["regime"] == "library" else []
    controls = {f"control-{name}.onnx" for name in CONTROLS}
    own = {"certificate.json", "front.json", "genotype.json", *library, "model.onnx"}
    assert set(files) == own | controls
    digest = hashlib.sha256(files["model.onnx"].read_bytes()).hexdigest()
    assert digest == certificate["export"]["sha256"]
    genotype = Genotype.from_dict(json.loads(files["genotype.json"].read_text()))
    assert (genotype.channels, genotype.cells) == (SPACE["channels"], SPACE["cells"])
    assert client.predict(DEVICE, genotype).latency_ms > 0
    command = [sys.executable, "-m", "search.try_model", str(files["model.onnx"]), "--count", "4"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert len(found["labels"]) == len(found["predicted"]) == 4
    session = onnxruntime.InferenceSession(str(files["model.onnx"]))
    assert session.get_modelmeta().custom_metadata_map["edgewright.seed"] == "3"


def test_an_impossible_budget_is_refused_with_the_nearest_one(
    client: Client, finished: tuple[JobRead, list[dict[str, Any]]]
) -> None:
    jobs = client.jobs()
    with pytest.raises(BudgetInfeasibleError) as refused:
        client.search(DEVICE, 1e-6, recipe="tiny", **SPACE)
    assert 1e-6 < refused.value.smallest_feasible_ms < GENEROUS_MS
    assert client.jobs() == jobs


def test_the_second_search_measures_no_operator_again(
    client: Client, finished: tuple[JobRead, list[dict[str, Any]]]
) -> None:
    plan = client.plan(DEVICE, **SPACE)
    assert 0 < plan.known <= ROWS
    rounds = [event.payload for event in client.events(finished[0].id) if event.kind == "note"]
    before = next(note["expected_error"] for note in rounds if "expected_error" in note)
    assert plan.expected_error < before / 4
    # How near zero it comes, the noise of the host decides; no nearer than a table has to be.
    assert plan.known == ROWS or plan.expected_error <= 4 * TOLERANCE
    job = client.profile(DEVICE, **SPACE)
    assert client.wait(job.id, timeout_s=60).result == client.job(job.id).result
    assert client.job(job.id).table_id == finished[0].table_id


def test_a_stored_model_can_be_verified_again(
    client: Client, finished: tuple[JobRead, list[dict[str, Any]]]
) -> None:
    model = next(a for a in client.artifacts(finished[0].id) if a.name == "model.onnx")
    job = client.wait(client.verify(DEVICE, model.sha256, processes=1).id, timeout_s=120)
    assert job.state is JobState.SUCCEEDED
    assert job.result is not None
    assert job.result["measured"]["latency_ms"] > 0
    strict = client.verify(DEVICE, model.sha256, processes=1, budget_ms=1e-6)
    failed = client.wait(strict.id, timeout_s=120)
    assert failed.error is not None
    assert failed.error["code"] == "over-budget"


def test_a_second_server_on_the_same_folder_is_refused(
    installation: Installation, client: Client
) -> None:
    command = ["serve", "--data-dir", str(installation.data_dir), "--port", "1"]
    second = subprocess.run(
        [sys.executable, "-m", "service", *command],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert second.returncode == 1
    assert "already runs" in second.stderr
    assert client.is_ready()
