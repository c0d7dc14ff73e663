"""A search of the space `stages`, from images to a file: the same engine, the same four stages."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from latency.codec import encode
from latency.estimate.lookup_table import TableEstimator
from latency.exchange.table_file import TableFile, write_table
from latency.graph import NetworkGraph
from latency.operator import SparsityPattern
from latency.table import LatencyTable
from search.__main__ import main
from search.data.dataset import Dataset
from search.data.datasets import load_dataset
from search.engine.checkpoint import load_checkpoint
from search.finalize.repair import BudgetInfeasibleError
from search.requests import DatasetRef, SearchRequest
from search.space.sparsity import with_sparsity
from search.space.stage_genotype import StageGenotype
from search.space.stage_networks import build_stages
from search.space.stage_space import StageSpace
from search.stages import run_derive, run_export, run_search, run_train
from tests.search.engine.small import Events, small_request
from tests.search.space import stages
from tests.search.space.tables import sparse_table

REFERENCE = DatasetRef(format="digits", image_size=8)
DIGITS_8: Dataset = load_dataset(REFERENCE)
SPACE = StageSpace(width=4, task=DIGITS_8.task, density=0.3)
TABLE: LatencyTable = sparse_table(SPACE, 0.8)
SMALLEST_MS = SPACE.smallest(SPACE.estimator(TABLE)).high_ms
REQUEST = SearchRequest(
    dataset=REFERENCE,
    space="stages",
    channels=4,
    density=0.3,
    budget_ms=1.3 * SMALLEST_MS,
    recipe="tiny",
)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return a folder with the result of a search that took no time."""
    alphas = {
        name: table.tolist()
        for name, table in stages.random_alphas(0, skeleton=SPACE.skeleton).items()
    }
    (tmp_path / "search.json").write_text(json.dumps({"alphas": alphas}))
    return tmp_path


def test_a_search_says_what_its_alphas_are_and_the_stages_behind_it_read_them(
    tmp_path: Path,
) -> None:
    result = run_search(REQUEST, tmp_path, DIGITS_8, TABLE, Events())
    assert json.loads((tmp_path / "search.json").read_text()) == json.loads(json.dumps(result))
    shapes = {name: np.shape(table) for name, table in result["alphas"].items()}
    assert shapes == SPACE.skeleton.tables
    assert len(result["options"]) == 6
    assert result["depths"] == [1, 2, 3]
    assert result["widths"] == [[4, 8], [8, 16]]
    assert result["heads"] == [0, 64]
    assert result["supernet"]["channels"] == 4
    assert result["supernet"]["density"] == pytest.approx(0.3, abs=0.01)
    assert [event["phase"] for event in result["history"]] == ["dense", "scores", "masked"]
    assert all(event["expected_latency_ms"] > 0 for event in result["history"])
    run_derive(REQUEST, tmp_path, DIGITS_8, TABLE, Events())
    run_train(REQUEST, tmp_path, DIGITS_8, TABLE, Events())
    exported = run_export(REQUEST, tmp_path, DIGITS_8, TABLE, Events())
    assert exported["prediction"]["high_ms"] > 0


def test_a_search_that_was_stopped_ends_with_the_same_bits(tmp_path: Path) -> None:
    request = small_request(tmp_path, space="stages", budget_ms=0.01)
    dataset, table = load_dataset(request.dataset), stages.table_of("library")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run_search(request, whole, dataset, table, Events())
    with pytest.raises(KeyboardInterrupt):
        run_search(request, parts, dataset, table, Events(stop_after=2))
    run_search(request, parts, dataset, table, Events())
    assert (whole / "search.json").read_bytes() == (parts / "search.json").read_bytes()
    one, other = (
        load_checkpoint(folder / "checkpoints" / "search.pt")["supernet"]
        for folder in (whole, parts)
    )
    tensors = [name for name, value in one.items() if torch.is_tensor(value)]
    assert all(torch.equal(one[name], other[name]) for name in tensors)


def test_derived_network_is_within_the_budget(work: Path) -> None:
    result = run_derive(REQUEST, work, DIGITS_8, TABLE, Events())
    assert result["prediction"]["high_ms"] <= REQUEST.budget_ms
    genotype = StageGenotype.from_dict(result["genotype"])
    graph = NetworkGraph.from_dict(result["graph"])
    planned = with_sparsity(build_stages(genotype, DIGITS_8.task), SPACE.sparsity)
    wanted = TableEstimator(TABLE).predict(planned)
    assert TableEstimator(TABLE).predict(graph).latency_ms == wanted.latency_ms
    assert result["prediction"]["latency_ms"] == wanted.latency_ms
    assert result["widths"] == {}


def test_tightening_lowers_the_prediction(work: Path) -> None:
    high = np.inf
    for tighten in (1.0, 0.9, 0.8):
        request = replace(REQUEST, tighten=tighten)
        result = run_derive(request, work, DIGITS_8, TABLE, Events())
        assert result["prediction"]["high_ms"] <= min(high, tighten * request.budget_ms)
        high = result["prediction"]["high_ms"]


def test_impossible_budget_is_refused_and_names_the_least(work: Path) -> None:
    request = replace(REQUEST, budget_ms=SMALLEST_MS * 0.99)
    with pytest.raises(BudgetInfeasibleError) as refused:
        run_derive(request, work, DIGITS_8, TABLE, Events())
    assert refused.value.smallest_feasible_ms == SMALLEST_MS
    assert not (work / "derive.json").exists()


def test_without_a_table_nothing_is_promised(work: Path) -> None:
    result = run_derive(REQUEST, work, DIGITS_8, None, Events())
    assert result["prediction"] is None
    assert result["genotype"] == result["derived"]


@pytest.mark.parametrize("pattern", ["block", "unstructured"])
def test_from_alphas_to_a_file_that_classifies(work: Path, pattern: str) -> None:
    request = replace(REQUEST, pattern=SparsityPattern(pattern), densities="planned")
    run_derive(request, work, DIGITS_8, TABLE, Events())
    trained = run_train(request, work, DIGITS_8, TABLE, Events())
    exported = run_export(request, work, DIGITS_8, TABLE, Events())
    assert trained["density"] == pytest.approx(0.3, abs=0.005)
    assert trained["nonzeros"] == round(trained["density"] * trained["parameters"])
    model = (work / "model.onnx").read_bytes()
    assert hashlib.sha256(model).hexdigest() == exported["sha256"]
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    right = sum(
        int(session.run(None, {"input": image[None].numpy()})[0].argmax()) == int(label)
        for image, label in zip(DIGITS_8.test_images, DIGITS_8.test_labels, strict=True)
    )
    assert right / len(DIGITS_8.test_labels) == pytest.approx(trained["accuracy"], abs=0.003)
    stored = StageGenotype.from_dict(json.loads((work / "genotype.json").read_text()))
    assert stored.to_dict() == exported["genotype"]
    paths = {choice.layer for choice in stored.layers}
    sparse = {path for path, kept in exported["density_per_layer"].items() if kept < 1}
    assert paths == sparse, "the density of each layer"
    properties = {p.key: p.value for p in onnx.load_from_string(model).metadata_props}
    assert properties["edgewright.genotype"] == stored.to_json()
    again = NetworkGraph.from_dict(exported["dense_parent"])
    assert again == build_stages(stored.with_layers(()), DIGITS_8.task)


def arguments(stage: str, folder: Path) -> list[str]:
    return [
        stage,
        "--request", str(folder / "request.json"),
        "--work", str(folder),
        "--table", str(folder / "table.json"),
    ]  # fmt: skip


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    """Return a folder with a request and a table, on 60 images."""
    request = small_request(tmp_path, space="stages", budget_ms=10.0)
    (tmp_path / "request.json").write_bytes(encode(request))
    write_table(tmp_path / "table.json", TableFile(table=stages.table_of("library")))
    return tmp_path


def test_the_command_runs_every_stage(asked: Path) -> None:
    for stage in ("search", "derive", "train", "export"):
        assert main(arguments(stage, asked)) == 0, stage
    assert (asked / "model.onnx").exists()


def test_the_command_refuses_an_impossible_budget_before_training(asked: Path) -> None:
    request = small_request(asked, space="stages", budget_ms=1e-4)
    (asked / "request.json").write_bytes(encode(request))
    assert main(arguments("search", asked)) == 1
    error = json.loads((asked / "search.error.json").read_text())
    assert error["code"] == "budget-infeasible"
    planned = replace(stages.SPACE, density=request.density)
    estimator = planned.estimator(stages.table_of("library"))
    assert error["smallest_feasible_ms"] == planned.smallest(estimator).high_ms
    assert not (asked / "checkpoints").exists()
