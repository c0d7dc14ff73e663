"""From a compressed network to the table of what it has to beat, on a part of digits of 8x8."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from latency.codec import encode
from latency.exchange.table_file import TableFile, write_table
from search.__main__ import main
from search.compress.controls import run_compress_controls
from search.compress.request import CompressRequest, Distillation
from search.compress.stage import run_compress
from search.data.batches import Examples
from search.engine.checkpoint import load_checkpoint
from search.export.int8 import runtime_accuracy
from search.space.stage_genotype import StageGenotype
from tests.search.compress.given import brought_file
from tests.search.compress.test_stage import BROUGHT, DIGITS_8, SMALL_PARENT, asked, table_of
from tests.search.engine.small import Events, few_images

DATA = few_images(DIGITS_8)
TEST = Examples(images=DATA.test_images, labels=DATA.test_labels)
NAMES = ["uniform", "random-mask", "dense", "int8"]

Finished = tuple[Path, CompressRequest, dict[str, Any]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    torch.set_num_threads(1)
    work = tmp_path_factory.mktemp("work")
    table, dense_ms = table_of(SMALL_PARENT)
    request = asked("resnet-20", 0.6 * dense_ms, width=0.5, seed=5, distillation=Distillation())
    run_compress(request, work, DATA, table, Events())
    result = run_compress_controls(request, work, DATA, table, Events())
    again = Events()
    assert run_compress_controls(request, work, DATA, table, again) == result
    assert not any("epoch" in event for event in again.events), "nothing is trained twice"
    return work, request, result


def line_of(result: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(line for line in result["controls"] if line["name"] == name)
    return found


def test_every_control_has_its_accuracies_and_a_file(finished: Finished) -> None:
    work, _, result = finished
    assert json.loads((work / "controls.json").read_text()) == json.loads(json.dumps(result))
    assert result["seeds"] == [5]
    assert [line["name"] for line in result["controls"]] == NAMES
    first = json.loads((work / "compress.json").read_text())["accuracy"]
    assert result["compressed"]["accuracies"][0] == first
    for line in result["controls"]:
        model = (work / line["path"]).read_bytes()
        assert hashlib.sha256(model).hexdigest() == line["sha256"]
        assert runtime_accuracy(model, TEST) == pytest.approx(line["accuracies"][0], abs=0.011)
        better = line["gained"] > line["uncertainty"]
        start = f"better than control {line['name']} by " if better else "not better than control "
        assert line["verdict"].startswith(start)
        assert line["verdict"] in result["verdict"]


def test_controls_are_within_the_budget(finished: Finished) -> None:
    _, request, result = finished
    for name in ("uniform", "dense"):
        assert line_of(result, name)["prediction"]["high_ms"] <= request.budget_ms
    dense = StageGenotype.from_dict(line_of(result, "dense")["genotype"])
    assert 4 <= dense.stem < 8
    assert line_of(result, "dense")["density"] == 1.0


def test_random_masks_keep_as_much_as_the_plan(finished: Finished) -> None:
    work, _, result = finished
    trained = json.loads((work / "train.json").read_text())
    assert line_of(result, "random-mask")["density"] == pytest.approx(trained["density"])
    ours, theirs = (
        load_checkpoint(folder / "network.pt")["network"]
        for folder in (work, work / "controls" / "random-mask-5")
    )
    masks = [name for name in ours if name.endswith("mask")]
    assert any(not torch.equal(ours[name], theirs[name]) for name in masks)


def test_what_is_uniform_is_not_its_own_control(tmp_path: Path) -> None:
    """By the command line, for a network that is brought: it cannot be made narrower."""
    table, dense_ms = table_of(BROUGHT)
    request = asked(brought_file(tmp_path), 0.75 * dense_ms, seeds=2)
    (tmp_path / "request.json").write_bytes(encode(request))
    write_table(tmp_path / "table.json", TableFile(table=table))
    work = tmp_path / "work"
    words = ["--request", str(tmp_path / "request.json"), "--work", str(work)]
    words += ["--table", str(tmp_path / "table.json"), "--mapping", "uniform"]
    threads = torch.get_num_threads()
    assert main(["compress", *words, "--distortion", "one-shot"]) == 0
    assert json.loads((work / "compress.json").read_text())["mapping"] == "uniform"
    assert main(["controls", *words]) == 0
    torch.set_num_threads(threads)
    result = json.loads((work / "controls.json").read_text())
    assert result["seeds"] == [0, 1]
    assert len(result["compressed"]["accuracies"]) == 2
    assert (work / "controls" / "compressed-1" / "compress.json").exists()
    lines = result["controls"]
    assert len(lines[0]["accuracies"]) == 2
    assert [line["name"] for line in lines] == NAMES[1:]
    assert "absent" in lines[1]
    assert lines[1]["verdict"].startswith("no control dense")


def test_an_unknown_estimate_is_named(tmp_path: Path) -> None:
    request = asked("resnet-20", 1.0, width=0.5)
    (tmp_path / "request.json").write_bytes(encode(request))
    work = tmp_path / "work"
    threads = torch.get_num_threads()
    words = ["--request", str(tmp_path / "request.json"), "--work", str(work)]
    assert main(["compress", *words, "--distortion", "guess"]) == 1
    torch.set_num_threads(threads)
    error = json.loads((work / "compress.error.json").read_text())
    assert error["code"] == "invalid-request"
    assert "guess" in error["message"]
