"""What a trainer is started with."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from service.engine.trainer import TrainerJob, TrainerRunner

VARIABLE = "GLIBC_TUNABLES"
PROGRAM = f"""
import json, os, pathlib
print(json.dumps({{"found": os.environ["{VARIABLE}"]}}))
pathlib.Path("result.json").touch()
"""


def found_by_a_trainer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(folder)
    reports: list[dict[str, Any]] = []
    job = TrainerJob(
        argv=[sys.executable, "-c", PROGRAM],
        result_file=folder / "result.json",
        error_file=folder / "error.json",
        log_file=folder / "trainer.log",
    )
    runner = TrainerRunner(may_feed=lambda: True, feed_every_s=1.0)
    end = asyncio.run(runner.run(job, reports.append))
    assert end.error is None
    return str(reports[0]["found"])


def test_trainers_keep_the_memory_that_a_step_frees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert "glibc.malloc.trim_threshold=" in found_by_a_trainer(tmp_path, monkeypatch)


def test_what_the_owner_of_the_machine_has_set_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "glibc.malloc.hugetlb=0")
    assert found_by_a_trainer(tmp_path, monkeypatch) == "glibc.malloc.hugetlb=0"
