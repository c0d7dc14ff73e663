"""`python -m search` as the worker starts it: files in, files out, exit status."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from latency.codec import encode
from latency.exchange.table_file import TableFile, write_table
from search.__main__ import main
from search.data.datasets import load_dataset
from search.requests import SearchRequest
from search.stages import run_search
from tests.search.engine.small import Events, small_request
from tests.search.space.tables import SMALL, formula_table


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return asked_for(tmp_path)


def asked_for(folder: Path) -> Path:
    """Write a request and a table; returns the folder for the results."""
    (folder / "work").mkdir()
    (folder / "request.json").write_bytes(encode(small_request(folder)))
    write_table(folder / "table.json", TableFile(table=formula_table(4, 3, SMALL)))
    return folder / "work"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Return the folder of a search that ran through as a process, and what it printed."""
    folder = tmp_path_factory.mktemp("whole")
    work = asked_for(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))  # as `own_host_lock`, which comes later
        with start("search", work) as process:
            output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return work, [json.loads(line) for line in output.splitlines()]


def arguments(stage: str, work: Path) -> list[str]:
    folder = work.parent
    return [
        stage,
        "--request", str(folder / "request.json"),
        "--work", str(work),
        "--table", str(folder / "table.json"),
        "--threads", "1",
    ]  # fmt: skip


def start(stage: str, work: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "search", *arguments(stage, work), *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def error_of(work: Path, stage: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((work / f"{stage}.error.json").read_text())
    return values


def test_controls_are_a_stage_that_needs_those_before(work: Path) -> None:
    assert main(arguments("controls", work)) == 1
    error = error_of(work, "controls")
    assert error["code"] == "stage-failed"
    assert "derive.json is missing" in error["message"]


def test_search_as_a_process_then_derive(whole: tuple[Path, list[dict[str, Any]]]) -> None:
    work, lines = whole
    assert [line.get("epoch") for line in lines] == [1, 2, 3, None]
    assert {line["stage"] for line in lines} == {"search"}
    assert {"train_loss", "valid_accuracy", "expected_latency_ms", "density"} <= lines[0].keys()
    result = json.loads((work / "search.json").read_text())
    assert [len(result["alphas"][kind]) for kind in ("normal", "reduce")] == [14, 14]
    assert len(result["history"]) == 3
    assert not (work / "search.error.json").exists()
    assert main(arguments("derive", work)) == 0
    assert "genotype" in json.loads((work / "derive.json").read_text())


def test_finished_stage_is_not_run_again(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (work / "search.json").write_text("{}")
    assert main(arguments("search", work)) == 0
    assert capsys.readouterr().out == '{"stage": "search", "finished": true}\n'
    assert (work / "search.json").read_text() == "{}"


def test_killed_search_goes_on_from_its_checkpoint(
    work: Path,
    whole: tuple[Path, list[dict[str, Any]]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with start("search", work) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["epoch"] == 1
        process.send_signal(signal.SIGKILL)
    assert not (work / "search.json").exists()
    assert main(arguments("search", work)) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["epoch"] >= 2
    found, expected = (
        json.loads((folder / "search.json").read_text()) for folder in (work, whole[0])
    )
    assert found == expected


@pytest.mark.parametrize("how", ["term", "fence"])
def test_stopped_search_leaves_with_75_and_no_error(work: Path, how: str) -> None:
    with start("search", work, "--fence-seconds", "60") as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        if how == "term":
            process.send_signal(signal.SIGTERM)
        else:
            process.stdin.close()
        assert process.wait(30) == 75
    assert not (work / "search.error.json").exists()
    assert list((work / "checkpoints").iterdir()) == [work / "checkpoints" / "search.pt"]


def test_mistakes_are_written_where_the_worker_reads(work: Path) -> None:
    request = work.parent / "request.json"
    request.write_text('{"channels": 4}')
    assert main(arguments("search", work)) == 1
    error = error_of(work, "search")
    assert error["code"] == "invalid-request"
    assert "missing required field `dataset`" in error["message"]


def test_a_table_that_is_no_table_file_is_refused(work: Path) -> None:
    table = work.parent / "table.json"
    table.write_bytes(encode(formula_table(4, 3, SMALL)))  # without the envelope of a file
    assert main(arguments("search", work)) == 1
    error = error_of(work, "search")
    assert error["code"] == "invalid-table"
    assert error["message"].count(str(table)) == 1


def test_missing_data_set_is_an_error_of_its_own(work: Path) -> None:
    (work.parent / "data.npz").unlink()
    assert main(arguments("search", work)) == 1
    assert error_of(work, "search") == {
        "code": "invalid-dataset",
        "message": f"dataset: {work.parent / 'data.npz'} does not exist",
    }


def test_a_device_that_is_none_is_not_the_fault_of_the_data(work: Path) -> None:
    assert main([*arguments("search", work), "--device", "tpu"]) == 1
    assert error_of(work, "search") == {
        "code": "invalid-device",
        "message": "device: must be one of ['auto', 'cpu', 'cuda'], got 'tpu'",
    }


def test_a_search_whose_layers_need_a_table_is_refused_without_one(work: Path) -> None:
    request = small_request(work.parent, densities="budget")
    (work.parent / "request.json").write_bytes(encode(request))
    given = arguments("search", work)
    at = given.index("--table")
    assert main(given[:at] + given[at + 2 :]) == 1
    error = error_of(work, "search")
    assert error["code"] == "missing-table"
    assert "--table" in error["message"]


def test_stage_without_its_input_fails(work: Path) -> None:
    assert main(arguments("derive", work)) == 1
    assert error_of(work, "derive")["code"] == "stage-failed"
    assert "search.json" in error_of(work, "derive")["message"]


def test_budget_that_no_network_meets_says_what_would(work: Path) -> None:
    request = small_request(work.parent, budget_ms=1e-4)
    (work.parent / "request.json").write_bytes(encode(request))
    assert main(arguments("search", work)) == 1
    error = error_of(work, "search")
    assert error["code"] == "budget-infeasible"
    assert error["smallest_feasible_ms"] > error["budget_ms"] == 1e-4
    assert not (work / "checkpoints").exists(), "refused before any training"


def test_error_of_an_earlier_attempt_is_removed(work: Path) -> None:
    (work / "search.error.json").write_text("{}")
    (work / "search.json").write_text("{}")
    assert main(arguments("search", work)) == 0
    assert not (work / "search.error.json").exists()


def test_search_without_a_table_has_no_constraint(work: Path) -> None:
    request: SearchRequest = small_request(work.parent)
    result = run_search(request, work, load_dataset(request.dataset), None, Events())
    assert result["expected_latency_ms"] is None
    assert result["history"][-1]["multiplier"] == 0.0
