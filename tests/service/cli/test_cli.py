"""The command line as a process: no traceback for users, and nothing heavy for --help."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from latency.target import DeviceFacts, Target
from service.client.event_text import event_line
from service.client.events import Event
from tests.python_path import python_path


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line in an empty folder."""
    environment = {name: value for name, value in os.environ.items() if "EDGEWRIGHT" not in name}
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        cwd=folder,
        env=environment | {"PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_help_names_every_command(tmp_path: Path) -> None:
    shown = run(tmp_path, "--help")
    assert shown.returncode == 0
    words = "serve worker migrate demo token devices plan profile tables predict search compress"
    assert all(word in shown.stdout for word in [*words.split(), "jobs", "verify", "pull"])
    assert list(tmp_path.iterdir()) == []


def test_without_a_server_it_says_so_without_a_traceback(tmp_path: Path) -> None:
    shown = run(tmp_path, "devices")
    assert shown.returncode == 1
    assert "no token" in shown.stderr
    (tmp_path / ".edgewright").mkdir()
    (tmp_path / ".edgewright" / "admin-token").write_text("ew_admin_x")
    (tmp_path / ".edgewright" / "url").write_text("http://127.0.0.1:9")
    shown = run(tmp_path, "jobs", "show", "0" * 32)
    assert shown.returncode == 1
    assert "edgewright serve" in shown.stderr
    assert "Traceback" not in shown.stderr


@pytest.mark.parametrize("text", ["pi", "pi=", "pi=soon"])
def test_a_further_device_needs_a_budget(tmp_path: Path, text: str) -> None:
    shown = run(tmp_path, "search", "--device", "box", "--budget-ms", "1", "--also", text)
    assert shown.returncode == 1
    assert f"--also: must be DEVICE=MS, such as pi=1.5, got {text!r}" in shown.stderr


def test_migrate_and_tokens_work_at_the_database(tmp_path: Path) -> None:
    migrated = run(tmp_path, "migrate")
    assert migrated.returncode == 0, migrated.stderr
    token_file = tmp_path / ".edgewright" / "admin-token"
    assert token_file.stat().st_mode & 0o777 == 0o600
    made = run(tmp_path, "token", "create", "--kind", "user", "--name", "me")
    assert made.stdout.startswith("ew_user_")
    token_id = made.stderr.split()[1].rstrip(";")
    assert run(tmp_path, "token", "revoke", token_id).returncode == 0
    assert run(tmp_path, "token", "revoke", "0" * 32).returncode == 1
    wrong = run(tmp_path, "token", "create", "--kind", "agent")
    assert (wrong.returncode, "admin, user, enrol" in wrong.stderr) == (1, True)


def test_the_command_line_imports_nothing_heavy() -> None:
    program = (
        "import sys, service.cli.app, service.supervisor; "
        "heavy = {'torch', 'onnxruntime', 'onnx', 'fastapi', 'sqlalchemy', 'dbos', 'numpy'}; "
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("kind", "payload", "line"),
    [
        ("state", {"state": "running"}, "job running"),
        ("state", {"state": "failed", "error": {"message": "no"}}, "job failed: no"),
        ("note", {"message": "hello"}, "  hello"),
        ("progress", {"stage": "device", "done": 3, "total": 9}, "  device: 3 of 9 measured"),
        (
            "progress",
            {"stage": "search", "phase": "dense", "epoch": 1, "epochs": 3, "valid_accuracy": 0.5},
            "  search dense 1/3  accuracy 50.0%",
        ),
        ("progress", {"stage": "derive", "finished": True}, "  derive done"),
        (
            "progress",
            {"stage": "compress", "parent": True, "epoch": 2, "epochs": 3, "train_loss": 1.5},
            "  compress parent 2/3  loss 1.500",
        ),
        (
            "progress",
            {
                "stage": "derive",
                "prediction": {
                    "latency_ms": 0.2,
                    "low_ms": 0.1,
                    "high_ms": 0.3,
                    "table_version": 4,
                },
            },
            "  derive: predicted 0.2000 ms (90 %: 0.1000 to 0.3000), table version 4",
        ),
        (
            "progress",
            {"stage": "export", "bytes": 9, "max_abs_difference": 2e-6},
            "  export: 9 bytes, 2.0e-06 at most from torch",
        ),
        ("unknown", {}, ""),
    ],
)
def test_events_become_lines(kind: str, payload: dict[str, object], line: str) -> None:
    assert event_line(Event(number=1, kind=kind, payload=payload)) == line


def test_a_target_is_named_for_people() -> None:
    facts = DeviceFacts(machine="x86_64", processor="P", cores=2)
    assert Target(facts=facts, runtime_version="1.2", threads=2).label() == (
        "P / ONNX Runtime 1.2 / 2 threads"
    )
