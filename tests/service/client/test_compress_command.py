"""`edgewright compress` against a real server."""

import json
import threading
import time
from pathlib import Path

import pytest

from service.database import Database
from service.jobs.journal import locked_job, move
from service.jobs.repository import open_jobs
from service.lifecycle import JobState
from tests.service.board import Board
from tests.service.client.commands import Run
from tests.service.fakes import HeldClock
from tests.service.given import given_file, unreadable_file

BUDGET = ("--budget", "board=1.5ms")
CERTIFICATE = {
    "accuracy": 0.9,
    "test_images": 360,
    "verdict": "met: 1.2000 ms measured",
    "compared": {"dense_parent": {"latency_ms": 3.0, "speed_up": {"ratio": 2.5}}},
    "compression": {"parent": {"accuracy": 0.95}, "density": 0.25},
}


def test_a_built_in_network_is_ordered_with_its_options(run: Run, board: Board) -> None:
    options = (
        "--width",
        "0.25",
        "--recipe",
        "tiny",
        "--mask-rule",
        "soft",
        "--mapping",
        "rule",
        "--distill",
    )
    words = ("compress", "resnet-20", *BUDGET, *options, "--json", "--no-wait")
    job = json.loads(run(*words, stdout_only=True))
    asked = job["request"]
    assert (job["kind"], job["state"], asked["network"]) == ("compress", "queued", "resnet-20")
    assert (asked["device"], asked["budget_ms"], asked["width"]) == ("board", 1.5, 0.25)
    assert (asked["mask_rule"], asked["recipe"], asked["mapping"]) == ("soft", "tiny", "rule")
    assert asked["distillation"] == {"weight": 0.5, "temperature": 4.0}
    assert "  compress  " in run("jobs", "list")


def test_a_file_is_sent_and_what_is_wrong_with_it_is_said(
    run: Run, board: Board, tmp_path: Path
) -> None:
    bad, good = tmp_path / "bad.onnx", tmp_path / "good.onnx"
    bad.write_bytes(unreadable_file())
    good.write_bytes(given_file())
    said = run("compress", bad, *BUDGET, status=1)
    assert "node 'first' (Tanh), node 'second' (Softplus), node 'third' (Tanh)" in said
    said = run("compress", good, *BUDGET, "--data", "digits", status=1)
    assert "tells 3 classes apart, but the data set has images of (1, 16, 16)" in said
    assert "No such file" in run("compress", tmp_path / "none.onnx", *BUDGET, status=1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("alexnet", *BUDGET), "mobilenet-v2, resnet-18, resnet-20, or the SHA-256"),
        (("resnet-20", *BUDGET, "--budget", "pi=1"), "fitted to one device, got 2"),
        (("resnet-20", "--budget", "board"), "--budget: must be DEVICE=MS"),
        (("resnet-20", "--budget", "other=1"), "Known devices"),
    ],
)
def test_what_is_refused_is_said(run: Run, board: Board, words: tuple[str, ...], said: str) -> None:
    assert said in run("compress", *words, status=1)


def test_the_certificate_is_printed(
    run: Run, board: Board, database: Database, clock: HeldClock
) -> None:
    def work() -> None:
        for _ in range(200):
            with database.transaction() as session:
                for found in open_jobs(session):
                    job = locked_job(session, found.id)
                    job.result = {"certificate": CERTIFICATE}
                    move(session, job, JobState.RUNNING, clock())
                    move(session, job, JobState.SUCCEEDED, clock())
                    return
            time.sleep(0.05)

    worker = threading.Thread(target=work)
    worker.start()
    shown = run("compress", "resnet-20", *BUDGET)
    worker.join()
    assert "accuracy 90.00% on the whole test set (360 images)" in shown
    assert "budget met: 1.2000 ms measured" in shown
    assert "dense it has 95.00%; 25.0% of the weights are left; 2.50 times as fast" in shown
    worker = threading.Thread(target=work)
    worker.start()
    told = run("compress", "resnet-20", *BUDGET, "--json", stdout_only=True)
    worker.join()
    assert json.loads(told) == CERTIFICATE
