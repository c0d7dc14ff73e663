import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from latency.graph import NetworkGraph
from search.data.dataset import Dataset
from search.data.datasets import load_dataset
from search.engine.checkpoint import write_json
from search.finalize.repair import BudgetInfeasibleError
from search.requests import DatasetRef, SearchRequest
from search.space.dass_cells import build_graph
from search.space.extremes import largest_genotype, smallest_genotype
from search.space.genotype import Genotype
from search.space.sparsity import Sparsity, with_sparsity
from search.stages import run_derive, run_export, run_train
from tests.search.engine.small import Events
from tests.search.space.tables import formula_table, some_genotype

REFERENCE = DatasetRef(format="digits", image_size=8)
DIGITS_8: Dataset = load_dataset(REFERENCE)
TABLE = formula_table(4, 3, DIGITS_8.task)
PLAIN = SearchRequest(
    dataset=REFERENCE, channels=4, cells=3, density=0.3, budget_ms=1.0, recipe="tiny"
)
ESTIMATOR = PLAIN.search_space(DIGITS_8.task).estimator(TABLE)
SMALLEST_MS = smallest_genotype(ESTIMATOR, 4, 3, DIGITS_8.task)[1].high_ms
LARGEST_MS = largest_genotype(ESTIMATOR, 4, 3, DIGITS_8.task)[1].high_ms
REQUEST = replace(PLAIN, budget_ms=(SMALLEST_MS + LARGEST_MS) / 2)


def write_alphas(work: Path, seed: int = 0) -> None:
    tables = np.random.default_rng(seed).normal(size=(2, 14, 8))
    alphas = {"normal": tables[0].tolist(), "reduce": tables[1].tolist()}
    write_json(work / "search.json", {"alphas": alphas})


def test_derived_network_is_within_the_budget(tmp_path: Path) -> None:
    write_alphas(tmp_path)
    result = run_derive(REQUEST, tmp_path, DIGITS_8, TABLE, Events())
    assert json.loads((tmp_path / "derive.json").read_text()) == json.loads(json.dumps(result))
    assert result["prediction"]["high_ms"] <= REQUEST.budget_ms
    genotype = Genotype.from_dict(result["genotype"])
    graph = NetworkGraph.from_dict(result["graph"])
    sparsity = Sparsity(pattern=REQUEST.pattern, density=REQUEST.density)
    assert graph == with_sparsity(build_graph(genotype, DIGITS_8.task), sparsity)
    assert result["prediction"]["latency_ms"] == ESTIMATOR.predict(graph).latency_ms


def test_tightening_lowers_the_prediction(tmp_path: Path) -> None:
    write_alphas(tmp_path)
    high = LARGEST_MS
    for tighten in (1.0, 0.8, 0.6):
        request = replace(REQUEST, budget_ms=LARGEST_MS * 0.9, tighten=tighten)
        result = run_derive(request, tmp_path, DIGITS_8, TABLE, Events())
        assert result["prediction"]["high_ms"] <= min(high, tighten * request.budget_ms)
        high = result["prediction"]["high_ms"]


def test_impossible_budget_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    write_alphas(tmp_path)
    request = replace(REQUEST, budget_ms=SMALLEST_MS / 2)
    with pytest.raises(BudgetInfeasibleError):
        run_derive(request, tmp_path, DIGITS_8, TABLE, Events())
    assert not (tmp_path / "derive.json").exists()


def test_a_network_that_is_given_is_taken_as_it_is(tmp_path: Path) -> None:
    """As one of a front: with no search behind it, whatever the budget."""
    given = some_genotype(3)
    request = replace(REQUEST, genotype=given.to_dict(), budget_ms=SMALLEST_MS / 2)
    result = run_derive(request, tmp_path, DIGITS_8, TABLE, Events())
    assert result["genotype"] == given.to_dict()
    assert not result["repaired"]
    graph = with_sparsity(
        build_graph(given, DIGITS_8.task), Sparsity(pattern=REQUEST.pattern, density=0.3)
    )
    assert result["prediction"]["latency_ms"] == ESTIMATOR.predict(graph).latency_ms
    with pytest.raises(ValueError, match="malformed"):
        replace(REQUEST, genotype={"normal": []})


def test_the_paper_repairs_nothing(tmp_path: Path) -> None:
    write_alphas(tmp_path)
    request = replace(REQUEST, budget_ms=SMALLEST_MS / 2, recipe="dass-paper")
    result = run_derive(request, tmp_path, DIGITS_8, TABLE, Events())
    assert result["genotype"] == result["derived"]
    assert not result["repaired"]
    assert result["prediction"]["low_ms"] > request.budget_ms


def test_without_a_table_nothing_is_promised(tmp_path: Path) -> None:
    write_alphas(tmp_path)
    result = run_derive(REQUEST, tmp_path, DIGITS_8, None, Events())
    assert result["prediction"] is None
    assert result["genotype"] == result["derived"]


def test_missing_stage_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"search\.json is missing"):
        run_derive(REQUEST, tmp_path, DIGITS_8, TABLE, Events())
    with pytest.raises(ValueError, match=r"derive\.json is missing"):
        run_train(REQUEST, tmp_path, DIGITS_8, TABLE, Events())


def test_from_alphas_to_a_file_that_classifies(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    write_alphas(tmp_path)
    run_derive(REQUEST, tmp_path, DIGITS_8, TABLE, Events())
    events = Events()
    trained = run_train(REQUEST, tmp_path, DIGITS_8, TABLE, events)
    exported = run_export(REQUEST, tmp_path, DIGITS_8, TABLE, Events())

    assert [event["epoch"] for event in events.events] == [1, 2, 3]
    assert trained["density"] == pytest.approx(0.3, abs=0.001)
    assert trained["nonzeros"] == round(trained["density"] * trained["parameters"])
    assert trained["test_images"] == len(DIGITS_8.test_labels)

    model = (tmp_path / "model.onnx").read_bytes()
    assert hashlib.sha256(model).hexdigest() == exported["sha256"]
    assert len(model) == exported["bytes"]
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    right = sum(
        int(session.run(None, {"input": image[None].numpy()})[0].argmax()) == int(label)
        for image, label in zip(DIGITS_8.test_images, DIGITS_8.test_labels, strict=True)
    )
    assert right / len(DIGITS_8.test_labels) == pytest.approx(trained["accuracy"], abs=0.003)

    stored = Genotype.from_dict(json.loads((tmp_path / "genotype.json").read_text()))
    assert stored.to_dict() == exported["genotype"]
    properties = {p.key: p.value for p in onnx.load_from_string(model).metadata_props}
    assert properties["edgewright.genotype"] == stored.to_json()
    assert properties["edgewright.target_fingerprint"] == TABLE.target.fingerprint
    assert json.loads(properties["edgewright.mean"]) == pytest.approx(DIGITS_8.mean)
    assert json.loads(properties["edgewright.classes"]) == list(DIGITS_8.class_names)


def test_finished_stages_can_be_run_again(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    write_alphas(tmp_path)
    run_derive(REQUEST, tmp_path, DIGITS_8, TABLE, Events())
    trained = run_train(REQUEST, tmp_path, DIGITS_8, TABLE, Events())
    exported = run_export(REQUEST, tmp_path, DIGITS_8, TABLE, Events())
    events = Events()
    assert run_train(REQUEST, tmp_path, DIGITS_8, TABLE, events) == trained
    assert events.events == []
    assert run_export(REQUEST, tmp_path, DIGITS_8, TABLE, Events()) == exported
