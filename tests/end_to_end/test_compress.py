"""A network that exists, from its name to a certificate, by real processes: the worker is killed on the
way, and the job cancelled and resumed.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from latency.kernels.library import register
from service.client import Client
from service.client.errors import BudgetInfeasibleError
from service.jobs.schemas import JobRead
from service.lifecycle import JobState
from tests.end_to_end.installation import DEVICE, Installation, is_epoch

pytestmark = [pytest.mark.compress_job, pytest.mark.timeout(1200)]

GENEROUS_MS = 50.0
ORDER = {"network": "resnet-20", "width": 0.25, "recipe": "tiny", "seed": 3, "rows": 80}


@pytest.fixture(scope="module")
def finished(installation: Installation, client: Client) -> tuple[JobRead, list[dict[str, Any]]]:
    """A compression that ran through in the end, and the reports of its trainers.

    In the first epoch of the dense network the worker is killed; in the fine-tuning the job is
    cancelled, and resumed.
    """
    job = client.compress(DEVICE, GENEROUS_MS, **ORDER)  # type: ignore[arg-type]
    reports: list[dict[str, Any]] = []
    seen = 0
    for event in client.events(job.id):
        seen = event.number
        if is_epoch(event):
            reports.append(event.payload)
            if len(reports) == 1:
                installation.kill_worker()
            if not event.payload.get("parent"):
                client.cancel(job.id)
                break
    installation.wait_for_trainers(job.id)
    table = client.job(job.id).table_id
    assert client.resume(job.id).attempt == 1, installation.logs()
    reports += [event.payload for event in client.events(job.id, seen) if is_epoch(event)]
    ended = client.job(job.id)
    assert ended.state is JobState.SUCCEEDED, f"{ended.error}\n{installation.logs()}"
    assert ended.table_id == table, "the same prices as before it was cancelled"
    return ended, reports


def test_nothing_is_trained_twice(finished: tuple[JobRead, list[dict[str, Any]]]) -> None:
    for parent in (True, False):
        found = [report for report in finished[1] if report.get("parent", False) is parent]
        epochs = [report["epoch"] for report in found]
        assert epochs == sorted(set(epochs))
        assert epochs[0] == 1
        # One may have ended while the job was cancelled.
        assert found[0]["epochs"] - len(epochs) <= (0 if parent else 1)


def test_a_budget_prunes(
    installation: Installation, client: Client, finished: tuple[JobRead, list[dict[str, Any]]]
) -> None:
    """The table is there; half way between the network as it is and the least is asked for."""
    (candidate,) = client.candidates(finished[0].id)
    dense_ms = candidate.certificate["predicted"]["high_ms"]
    with pytest.raises(BudgetInfeasibleError) as refused:
        client.compress(DEVICE, 1e-3, **ORDER)  # type: ignore[arg-type]
    least_ms = refused.value.smallest_feasible_ms
    assert least_ms < dense_ms
    budget_ms = (least_ms + dense_ms) / 2
    job = client.compress(DEVICE, budget_ms, **ORDER)  # type: ignore[arg-type]
    ended = client.wait(job.id, timeout_s=600)
    assert ended.table_id == finished[0].table_id
    (pruned,) = client.candidates(job.id)
    certificate = pruned.certificate
    assert certificate["compression"]["density"] < 1.0
    assert certificate["predicted"]["high_ms"] <= budget_ms
    assert (ended.state is JobState.SUCCEEDED) == certificate["met"], installation.logs()


def test_the_certificate_states_what_became_of_the_network(
    client: Client, finished: tuple[JobRead, list[dict[str, Any]]]
) -> None:
    (candidate,) = client.candidates(finished[0].id)
    certificate = candidate.certificate
    assert certificate["met"] is True
    assert 0 < certificate["measured"]["latency_ms"] <= GENEROUS_MS
    assert certificate["compared"]["dense_parent"]["latency_ms"] > 0
    assert certificate["seed"] == ORDER["seed"]
    compression = certificate["compression"]
    assert (compression["network"], compression["width"]) == ("resnet-20", 0.25)
    assert compression["parent"]["trained"] is True
    assert 0 <= compression["parent"]["accuracy"] <= 1
    table = client.table(certificate["table"]["id"])
    assert table.operators == certificate["table"]["operators"]
    assert table.error is not None


def test_the_downloaded_model_runs(
    client: Client, finished: tuple[JobRead, list[dict[str, Any]]], tmp_path: Path
) -> None:
    files = client.pull(finished[0].id, tmp_path)
    certificate = json.loads(files["certificate.json"].read_text())
    model = files["model.onnx"].read_bytes()
    assert hashlib.sha256(model).hexdigest() == certificate["export"]["sha256"]
    options = onnxruntime.SessionOptions()
    register(options)
    session = onnxruntime.InferenceSession(model, options)
    assert session.get_modelmeta().custom_metadata_map["edgewright.seed"] == "3"
