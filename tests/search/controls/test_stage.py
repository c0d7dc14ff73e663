"""From alphas to the table of controls, in one process, on real digits of 8x8 pixels."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from latency.estimate.lookup_table import TableEstimator
from search.controls.stage import run_controls
from search.controls.trainings import Trainings
from search.data.batches import Examples
from search.engine.checkpoint import load_checkpoint
from search.export.int8 import runtime_accuracy
from search.space.dass_cells import build_graph
from search.space.extremes import largest_genotype, smallest_genotype
from search.space.genotype import Genotype
from search.stages import run_derive, run_export, run_train
from tests.search.engine.small import Events, few_images
from tests.search.finalize.test_stages import DIGITS_8, REQUEST, write_alphas
from tests.search.space.tables import sparse_table

DATA = few_images(DIGITS_8)
TEST = Examples(images=DATA.test_images, labels=DATA.test_labels)
SIZED = replace(REQUEST, channels=8, density=0.7, seed=5, seeds=2, tighten=0.9)
SPACE = SIZED.search_space(DATA.task)
TABLE = sparse_table(SPACE, 0.5, missing=0.7)
ENDS_MS = [
    end(SPACE.estimator(TABLE), SIZED.channels, SIZED.cells, DATA.task)[1].high_ms
    for end in (smallest_genotype, largest_genotype)
]
ORDER = replace(SIZED, budget_ms=sum(ENDS_MS) / 2)
NAMES = ["random", "dense", "int8", "random-mask"]


class StoppedError(Exception):
    """Stands for the end of the process."""


class StoppingEvents(Events):
    """Ends a stage at an epoch of one of its trainings."""

    def __init__(self, phase: str, epoch: int) -> None:
        super().__init__()
        self.stop = {"phase": phase, "epoch": epoch}

    def report(self, event: dict[str, Any]) -> None:
        super().report(event)
        if self.stop.items() <= event.items():
            raise StoppedError


def searched(work: Path) -> Path:
    """Leave in a folder what the stages before do."""
    write_alphas(work)
    for stage in (run_derive, run_train, run_export):
        stage(ORDER, work, DATA, TABLE, Events())
    return work


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    work = searched(tmp_path_factory.mktemp("work"))
    with pytest.raises(StoppedError):
        run_controls(ORDER, work, DATA, TABLE, StoppingEvents("random, seed 6", 2))
    events = Events()
    result = run_controls(ORDER, work, DATA, TABLE, events)
    phases = [event["phase"] for event in events.events if "epoch" in event]
    # Three epochs each, but for what was finished before, and two epochs of what was interrupted.
    assert "random, seed 5" not in phases
    assert "searched, seed 6" not in phases
    assert phases.count("random, seed 6") == 1
    for name in ("dense", "int8-parent", "random-mask"):
        assert [phases.count(f"{name}, seed {seed}") for seed in (5, 6)] == [3, 3]
    return work, result


def line_of(result: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(line for line in result["controls"] if line["name"] == name)
    return found


def test_every_control_has_its_accuracies_and_a_file(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    work, result = finished
    assert json.loads((work / "controls.json").read_text()) == json.loads(json.dumps(result))
    assert result["seeds"] == [5, 6]
    assert result["test_images"] == 100
    first = json.loads((work / "train.json").read_text())["accuracy"]
    assert result["searched"]["accuracies"][0] == first
    assert [line["name"] for line in result["controls"]] == NAMES
    for line in result["controls"]:
        assert len(line["accuracies"]) == 2
        assert line["accuracy"] == pytest.approx(float(np.mean(line["accuracies"])))
        assert line["gained"] == pytest.approx(result["searched"]["accuracy"] - line["accuracy"])
        model = (work / line["path"]).read_bytes()
        assert hashlib.sha256(model).hexdigest() == line["sha256"]
        assert len(model) == line["bytes"]
        assert runtime_accuracy(model, TEST) == pytest.approx(line["accuracies"][0], abs=0.011)
    assert (
        runtime_accuracy((work / line_of(result, "int8")["path"]).read_bytes(), TEST)
        == (line_of(result, "int8")["accuracies"][0])
    )


def test_the_verdict_says_of_each_control_whether_it_is_beaten(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    _, result = finished
    for line in result["controls"]:
        better = line["gained"] > line["uncertainty"]
        start = f"better than control {line['name']} by " if better else "not better than control "
        assert line["verdict"].startswith(start)
        assert line["verdict"] in result["verdict"]


def test_controls_are_under_the_budget_that_was_searched_for(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    work, result = finished
    budget_ms = ORDER.budget_ms * ORDER.tighten
    for name in ("random", "dense"):
        assert line_of(result, name)["prediction_before_training"]["high_ms"] <= budget_ms
    dense = Genotype.from_dict(line_of(result, "dense")["genotype"])
    found = Genotype.from_dict(json.loads((work / "derive.json").read_text())["genotype"])
    assert dense == replace(found, channels=dense.channels)
    assert 4 <= dense.channels < found.channels
    assert line_of(result, "dense")["density"] == 1.0
    assert TableEstimator(TABLE).predict(build_graph(dense, DATA.task)).high_ms <= budget_ms
    random = Genotype.from_dict(line_of(result, "random")["genotype"])
    assert (random.normal, random.reduce) != (found.normal, found.reduce)


def test_random_masks_keep_as_much_of_each_layer_as_the_magnitudes(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    work, _ = finished
    for seed, own in ((5, work), (6, work / "controls" / "searched-6")):
        magnitude, drawn = (
            load_checkpoint(folder / "network.pt")["network"]
            for folder in (own, work / "controls" / f"random-mask-{seed}")
        )
        states = [name for name in magnitude if name.endswith("_extra_state")]
        assert [drawn[name] for name in states] == [magnitude[name] for name in states]
        masks = [name for name in magnitude if name.endswith("mask")]
        assert any((drawn[name] != magnitude[name]).any() for name in masks)


def test_int8_is_a_quantized_file_without_a_price(finished: tuple[Path, dict[str, Any]]) -> None:
    work, result = finished
    line = line_of(result, "int8")
    model = onnx.load(work / line["path"])
    assert "QuantizeLinear" in {node.op_type for node in model.graph.node}
    assert line["prediction"] is None  # the table has no row in int8
    assert line["regime"] == "stock"
    assert Genotype.from_dict(line["genotype"]).channels == ORDER.channels


def test_a_finished_comparison_trains_nothing_again(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    work, result = finished
    events = Events()
    assert run_controls(ORDER, work, DATA, TABLE, events) == result
    assert not [event for event in events.events if "epoch" in event]


def test_controls_need_a_table_and_the_stages_before(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"derive\.json is missing"):
        run_controls(ORDER, tmp_path, DATA, TABLE, Events())
    write_alphas(tmp_path)
    run_derive(ORDER, tmp_path, DATA, None, Events())
    with pytest.raises(ValueError, match="need --table"):
        run_controls(ORDER, tmp_path, DATA, TABLE, Events())


def test_a_network_is_trained_again_only_to_another_order(tmp_path: Path) -> None:
    genotype = smallest_genotype(SPACE.estimator(TABLE), 4, 3, DATA.task)[0]
    events = Events()
    trainings = Trainings(work=tmp_path, dataset=DATA, table=TABLE, progress=events)
    order = replace(ORDER, densities="planned")  # else the budget plans the layers
    orders = [order, replace(order, seeds=1, budget_ms=9.0), replace(order, density=0.4)]
    found = [trainings.train("random", genotype, order).result for order in orders]
    assert len([event for event in events.events if "epoch" in event]) == 2 * found[0]["epochs"]
    assert found[0] == found[1]
    assert found[2]["density"] < found[1]["density"]
