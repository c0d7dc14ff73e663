"""One search for two devices: every stage of both spaces, from two tables to two files."""

import hashlib
import json
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.codec import encode
from latency.exchange.table_file import TableFile, write_table
from latency.graph import NetworkGraph
from latency.operator import Regime
from latency.table import LatencyTable
from latency.target import STOCK_LIBRARY
from search.__main__ import main
from search.data.dataset import Dataset
from search.data.datasets import load_dataset
from search.engine.problem import PricedDevice, priced_devices
from search.finalize.repair import BudgetInfeasibleError
from search.problems.choice import problem_of
from search.problems.feasible import refuse_infeasible
from search.requests import DatasetRef, DeviceBudget, SearchRequest
from search.space.networks import network_graph
from search.space.sparsity import PlannedEstimator
from search.stages import run_derive, run_export, run_search, run_train
from tests.search.engine.small import Events, small_request
from tests.search.space.tables import SMALL, formula_table, other_table, sparse_table

REFERENCE = DatasetRef(format="digits", image_size=8)
DIGITS_8: Dataset = load_dataset(REFERENCE)
BASE = SearchRequest(
    dataset=REFERENCE, channels=4, cells=3, density=0.3, budget_ms=1.0, recipe="tiny"
)


def stage_tables() -> list[LatencyTable]:
    """Return the tables of a device where the library pays, and of one that has none."""
    found = replace(BASE, space="stages").search_space(DIGITS_8.task)
    first, plain = sparse_table(found, 0.8), sparse_table(found, 5.0)
    second = replace(
        plain,
        target=replace(plain.target, operator_library=STOCK_LIBRARY),
        rows=tuple(row for row in plain.rows if row.spec.regime is Regime.STOCK),
        library=None,
        version=8,
    )
    return [first, second]


TABLES = {
    "dass-cells": [table(4, 3, DIGITS_8.task) for table in (formula_table, other_table)],
    "stages": stage_tables(),
}
REGIMES = {
    "dass-cells": [Regime.STOCK, Regime.STOCK],
    "stages": [Regime.LIBRARY, Regime.STOCK],
}


@cache
def priced(space: str) -> tuple[tuple[PlannedEstimator, float], ...]:
    """Return the prices of each device, and the least budget that can be met there."""
    found = replace(BASE, space=space).search_space(DIGITS_8.task)
    estimators = [found.estimator(table) for table in TABLES[space]]
    return tuple((one, found.smallest(one).high_ms) for one in estimators)


def request_of(space: str, *shares: float) -> SearchRequest:
    """Return a request whose budgets are so many times the least ones."""
    first, second = (
        share * least_ms for (_, least_ms), share in zip(priced(space), shares, strict=True)
    )
    also = (DeviceBudget(device="pi", budget_ms=second),)
    return replace(BASE, space=space, budget_ms=first, device="box", also=also)


def devices_of(request: SearchRequest) -> tuple[PricedDevice, ...]:
    pairs = zip(request.budgets, priced(request.space), strict=True)
    return tuple(
        PricedDevice(device=budget.device, estimator=estimator, budget_ms=budget.tightened_ms)
        for budget, (estimator, _) in pairs
    )


def some_alphas(request: SearchRequest, seed: int) -> dict[str, Any]:
    shapes = problem_of(request, DIGITS_8.task).alphas(torch.Generator()).tables
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=tuple(table.shape)) for name, table in shapes.items()}


@pytest.mark.parametrize("space", ["dass-cells", "stages"])
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), shares=st.tuples(st.floats(1.3, 4.0), st.floats(1.3, 4.0)))
def test_what_is_fitted_keeps_the_budget_of_every_device(
    space: str, seed: int, shares: tuple[float, float]
) -> None:
    request = request_of(space, *shares)
    problem, devices = problem_of(request, DIGITS_8.task), devices_of(request)
    first, *others = devices
    fitted = problem.fit(some_alphas(request, seed), first.estimator, first.budget_ms, others)
    found = (fitted.prediction, *fitted.others)
    assert len(found) == 2
    for prediction, device in zip(found, devices, strict=True):
        assert prediction.high_ms <= device.budget_ms
        assert prediction.table_version == device.estimator.table.version


@pytest.mark.parametrize("space", ["dass-cells", "stages"])
def test_from_a_search_to_a_file_for_each_device(space: str, tmp_path: Path) -> None:
    request, (table, *others) = request_of(space, 2.0, 1.5), TABLES[space]
    searched = run_search(request, tmp_path, DIGITS_8, table, Events(), others=others)
    assert [one["device"] for one in searched["devices"]] == ["box", "pi"]
    shares = [one["expected_latency_ms"] / one["budget_ms"] for one in searched["devices"]]
    assert searched["expected_latency_ms"] / request.budget_ms == pytest.approx(max(shares))

    derived = run_derive(request, tmp_path, DIGITS_8, table, Events(), others=others)
    (pi,) = derived["also"]
    assert derived["prediction"]["high_ms"] <= request.budget_ms
    assert pi["prediction"]["high_ms"] <= pi["budget_ms"] == request.also[0].budget_ms
    assert json.loads((tmp_path / "derive.json").read_text()) == json.loads(json.dumps(derived))
    regimes = [NetworkGraph.from_dict(one["graph"]).regime for one in (derived, pi)]
    assert regimes == REGIMES[space], "each device runs it in the form that is fastest there"
    rows = derived["regret"]["rows"]
    assert [(row["found_for"], row["on"]) for row in rows] == [
        (found_for, on) for found_for in ("box", "pi", "all devices") for on in ("box", "pi")
    ]
    assert not any(
        row["over_budget"] for row in rows if row["found_for"] in ("all devices", row["on"])
    )
    assert derived["regret"]["text"].count("not trained") == len(rows)

    run_train(request, tmp_path, DIGITS_8, table, Events())
    exported = run_export(request, tmp_path, DIGITS_8, table, Events(), others=others)
    (other,) = exported["also"]
    assert [one["regime"] for one in (exported, other)] == REGIMES[space]
    assert other["genotype"] == exported["genotype"]
    assert other["density_per_layer"] == exported["density_per_layer"], "the same weights"
    for one, budget, priced in zip(
        (exported, other), request.budgets, (table, *others), strict=True
    ):
        model = (tmp_path / one["path"]).read_bytes()
        assert hashlib.sha256(model).hexdigest() == one["sha256"]
        properties = {p.key: p.value for p in onnx.load_from_string(model).metadata_props}
        assert properties["edgewright.target_fingerprint"] == priced.target.fingerprint
        assert properties["edgewright.budget_ms"] == f"{budget.budget_ms:g}"
        assert one["prediction"]["target_fingerprint"] == priced.target.fingerprint
        assert one["max_abs_difference"] < 1e-3
    assert [exported["path"], other["path"]] == ["model.onnx", "model-2.onnx"]


@pytest.mark.parametrize("space", ["dass-cells", "stages"])
def test_a_network_that_is_given_is_priced_on_each_device(space: str, tmp_path: Path) -> None:
    request, (table, *others) = request_of(space, 2.0, 1.5), TABLES[space]
    problem = problem_of(request, DIGITS_8.task)
    genotype = problem.derive(some_alphas(request, 3))
    given = replace(request, genotype=genotype.to_dict())
    derived = run_derive(given, tmp_path, DIGITS_8, table, Events(), others=others)
    assert derived["genotype"] == genotype.to_dict()
    assert "regret" not in derived, "nothing was searched"
    (pi,) = derived["also"]
    graph = network_graph(genotype, DIGITS_8.task)
    for one, device, regime in zip((derived, pi), devices_of(request), REGIMES[space], strict=True):
        assert one["prediction"] == asdict(device.estimator.predict(graph))
        assert NetworkGraph.from_dict(one["graph"]).regime is regime


@pytest.mark.parametrize("space", ["dass-cells", "stages"])
def test_each_device_is_tightened_by_itself(space: str, tmp_path: Path) -> None:
    request, (table, *others) = request_of(space, 3.0, 3.0), TABLES[space]
    alphas = {name: rows.tolist() for name, rows in some_alphas(request, 3).items()}
    (tmp_path / "search.json").write_text(json.dumps({"alphas": alphas}))
    also = (replace(request.also[0], tighten=0.5),)
    run_derive(replace(request, also=also), tmp_path, DIGITS_8, table, Events(), others=others)
    (pi,) = json.loads((tmp_path / "derive.json").read_text())["also"]
    assert pi["tighten"] == 0.5
    assert pi["prediction"]["high_ms"] <= 0.5 * request.also[0].budget_ms


@pytest.mark.parametrize("space", ["dass-cells", "stages"])
def test_the_device_that_is_too_slow_is_named_before_any_training(space: str) -> None:
    request = request_of(space, 2.0, 0.9)
    with pytest.raises(BudgetInfeasibleError, match="ms on pi; the smallest budget") as refused:
        refuse_infeasible(problem_of(request, DIGITS_8.task), TABLES[space])
    assert refused.value.budget_ms == request.also[0].budget_ms
    assert refused.value.smallest_feasible_ms == pytest.approx(refused.value.budget_ms / 0.9)
    refuse_infeasible(problem_of(request_of(space, 2.0, 2.0), DIGITS_8.task), TABLES[space])


def test_a_table_for_each_device_is_needed() -> None:
    request = request_of("stages", 2.0, 2.0)
    with pytest.raises(ValueError, match="the request names 2, each needs a latency table, got 1"):
        priced_devices(problem_of(request, DIGITS_8.task), TABLES["stages"][:1])


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    """Return a folder with a request of two devices, on 60 images, and their tables."""
    also = (DeviceBudget(device="pi", budget_ms=10.0),)
    request = small_request(tmp_path, device="box", also=also)
    (tmp_path / "request.json").write_bytes(encode(request))
    tables = (formula_table(4, 3, SMALL), other_table(4, 3, SMALL))
    for number, table in enumerate(tables):
        write_table(tmp_path / f"table-{number}.json", TableFile(table=table))
    return tmp_path


def arguments(stage: str, folder: Path, tables: int = 2) -> list[str]:
    paths = [f"--table={folder}/table-{number}.json" for number in range(tables)]
    return [stage, f"--request={folder}/request.json", f"--work={folder}", *paths]


def test_the_command_runs_every_stage_with_a_table_for_each_device(asked: Path) -> None:
    for stage in ("search", "front", "derive", "train", "export", "controls"):
        assert main(arguments(stage, asked)) == 0, stage
    for candidate in json.loads((asked / "front.json").read_text())["candidates"]:
        assert [one["device"] for one in candidate["also"]] == ["pi"]
    assert (asked / "model.onnx").exists()
    assert (asked / "model-2.onnx").exists()
    assert [*asked.glob("controls/*/model-2.onnx")]


@pytest.mark.parametrize("tables", [0, 1])
def test_the_command_refuses_too_few_tables(asked: Path, tables: int) -> None:
    assert main(arguments("search", asked, tables)) == 1
    error = json.loads((asked / "search.error.json").read_text())
    assert error == {
        "code": "invalid-table",
        "message": f"--table: one for each device of the request, 2, got {tables}",
    }


def test_the_command_names_the_device_that_cannot_keep_its_budget(asked: Path) -> None:
    request = small_request(asked, device="box", also=(DeviceBudget(device="pi", budget_ms=1e-4),))
    (asked / "request.json").write_bytes(encode(request))
    assert main(arguments("search", asked)) == 1
    error = json.loads((asked / "search.error.json").read_text())
    assert error["code"] == "budget-infeasible"
    assert "ms on pi; the smallest budget" in error["message"]
    assert error["smallest_feasible_ms"] > error["budget_ms"] == 1e-4
    assert not (asked / "checkpoints").exists()
