"""From a network that is there to one within its budget, on digits of 8x8."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from latency.codec import encode
from latency.estimate.lookup_table import TableEstimator
from latency.exchange.table_file import TableFile, write_table
from latency.graph import NetworkGraph
from latency.lowering.read_model import read_model
from latency.operator import SparsityPattern
from latency.table import LatencyTable
from search.__main__ import main
from search.compress import source as source_module
from search.compress.request import CompressRequest, Distillation
from search.compress.source import load_source
from search.compress.stage import Compression, run_compress
from search.data.datasets import load_dataset
from search.export.parity import ParityError
from search.finalize.graph_network import graph_genotype
from search.finalize.repair import BudgetInfeasibleError
from search.finalize.run import Goal
from search.requests import DatasetRef
from search.space.graph_genotype import GraphGenotype
from search.space.networks import network_graph, read_genotype
from search.space.rivals import PARENTS
from search.space.sparsity import MaskRule
from tests.search.compress.given import brought_file, brought_model, unknown_file
from tests.search.engine.small import Events
from tests.search.space.tables import exact_table

REFERENCE = DatasetRef(format="digits", image_size=8)
DIGITS_8 = load_dataset(REFERENCE)
BROUGHT = graph_genotype(read_model(brought_model()).graph).graph
SMALL_PARENT = network_graph(PARENTS["resnet-20"](0.5), DIGITS_8.task)
GOAL = Goal(density=1.0, pattern=SparsityPattern.UNSTRUCTURED, seed=0)
IMAGES = DIGITS_8.train_images[:8]


def table_of(graph: NetworkGraph) -> tuple[LatencyTable, float]:
    """Return prices of all that a network can be, and what it takes when it is dense."""
    table = exact_table(graph, 0.8)
    return table, TableEstimator(table).predict(graph).high_ms


def asked(network: str, budget_ms: float, **more: Any) -> CompressRequest:
    return CompressRequest(
        dataset=REFERENCE, network=network, budget_ms=budget_ms, recipe="tiny", **more
    )


@pytest.mark.parametrize("rule", [MaskRule.HARD, MaskRule.ADMM])
def test_a_network_that_is_brought_ends_within_its_budget(tmp_path: Path, rule: MaskRule) -> None:
    table, dense_ms = table_of(BROUGHT)
    request = asked(brought_file(tmp_path), 0.75 * dense_ms, mask_rule=rule)
    result = run_compress(request, tmp_path, DIGITS_8, table, Events())
    assert json.loads((tmp_path / "compress.json").read_text()) == json.loads(json.dumps(result))
    assert result["within_budget"]
    assert result["prediction"]["high_ms"] <= request.budget_ms
    assert result["plan"]["lower_bound"] <= result["plan"]["distortion"]
    assert not result["parent"]["trained"]
    assert result["parent"]["max_abs_difference"] < 1e-4
    assert result["density"] < 1.0

    exported = json.loads((tmp_path / "export.json").read_text())
    model = (tmp_path / "model.onnx").read_bytes()
    assert hashlib.sha256(model).hexdigest() == exported["sha256"]
    genotype = read_genotype(json.loads((tmp_path / "genotype.json").read_text()))
    assert isinstance(genotype, GraphGenotype)
    planned = {layer["layer"]: layer for layer in result["plan"]["layers"]}
    for choice in genotype.layers:
        assert choice.pattern.value == planned[choice.layer]["pattern"]
        assert choice.density == pytest.approx(planned[choice.layer]["density"], abs=1e-4)
    properties = {p.key: p.value for p in onnx.load_from_string(model).metadata_props}
    assert properties["edgewright.densities"] == "budget"


def test_a_built_in_network_is_trained_first_and_taught_by_its_parent(tmp_path: Path) -> None:
    table, dense_ms = table_of(SMALL_PARENT)
    request = asked("resnet-20", 0.6 * dense_ms, width=0.5, distillation=Distillation())
    events = Events()
    result = run_compress(request, tmp_path, DIGITS_8, table, events)
    parents = [event["epoch"] for event in events.events if event.get("parent")]
    assert parents == [1, 2, 3]
    assert result["parent"]["trained"]
    assert result["parent"]["accuracy"] > 0.5, "it has learnt digits before it is pruned"
    assert result["accuracy"] > 0.5
    assert result["within_budget"]
    assert result["predicted_speedup"] > 1.0
    again, whole = Events(), (tmp_path / "compress.json").read_text()
    assert run_compress(request, tmp_path, DIGITS_8, table, again)["accuracy"] == result["accuracy"]
    assert (tmp_path / "compress.json").read_text() == whole
    assert not any("epoch" in event for event in again.events), "nothing is trained twice"


def test_a_budget_that_no_plan_meets_is_refused_before_any_training(tmp_path: Path) -> None:
    table, dense_ms = table_of(SMALL_PARENT)
    request = asked("resnet-20", 0.01 * dense_ms, width=0.5)
    with pytest.raises(BudgetInfeasibleError) as caught:
        run_compress(request, tmp_path, DIGITS_8, table, Events())
    smallest = caught.value.smallest_feasible_ms
    assert request.budget_ms < smallest < dense_ms
    assert list(tmp_path.iterdir()) == []
    met = replace(request, budget_ms=smallest * 1.0001)
    # What the refusal says can be met.
    Compression(met, tmp_path, DIGITS_8, table, Events()).derive()
    assert (tmp_path / "derive.json").exists()


def test_unknown_operators_are_all_named(tmp_path: Path) -> None:
    request = asked(unknown_file(tmp_path), 1.0)
    with pytest.raises(ValueError, match="allowed are") as caught:
        load_source(request, DIGITS_8.task, IMAGES, GOAL)
    listed = "node 'first' (Tanh), node 'second' (Tanh), node 'third' (Softplus)"
    assert listed in str(caught.value)


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "torn.onnx").write_bytes(b"\x00no model")
    request = asked(str(tmp_path / "torn.onnx"), 1.0)
    with pytest.raises(ValueError, match=r"torn.onnx is not an ONNX model|not valid ONNX"):
        load_source(request, DIGITS_8.task, IMAGES, GOAL)


def test_a_network_that_changes_on_the_way_is_refused_with_the_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is read rightly; what is compared with it is another one's weights."""
    other = read_model(brought_model(seed=1))
    monkeypatch.setattr(source_module, "read_model", lambda _: other)
    with pytest.raises(ParityError, match=r"changes on the way: .* differ by \d"):
        load_source(asked(brought_file(tmp_path), 1.0), DIGITS_8.task, IMAGES, GOAL)


def test_another_task_is_refused(tmp_path: Path) -> None:
    task = replace(DIGITS_8.task, classes=7)
    with pytest.raises(ValueError, match=r"10 classes apart, but the data set has .* and 7"):
        load_source(asked(brought_file(tmp_path), 1.0), task, IMAGES, GOAL)


def test_the_command_line_needs_one_table(tmp_path: Path) -> None:
    request = asked("resnet-20", 1e-4, width=0.5)
    (tmp_path / "request.json").write_bytes(encode(request))
    table, _ = table_of(SMALL_PARENT)
    write_table(tmp_path / "table.json", TableFile(table=table))
    work = tmp_path / "work"
    plain = ["compress", "--request", str(tmp_path / "request.json"), "--work", str(work)]
    threads = torch.get_num_threads()
    assert main(plain) == 1
    assert json.loads((work / "compress.error.json").read_text())["code"] == "invalid-table"
    assert main([*plain, "--table", str(tmp_path / "table.json")]) == 1
    error = json.loads((work / "compress.error.json").read_text())
    assert error["code"] == "budget-infeasible"
    assert error["smallest_feasible_ms"] > 1e-4
    torch.set_num_threads(threads)
