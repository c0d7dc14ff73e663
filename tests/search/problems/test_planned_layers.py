"""Derived, trained and exported with layers that the budget decides about, in both spaces."""

import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from latency.operator import SparsityPattern
from latency.table import LatencyTable
from search.controls.stage import run_controls
from search.data.batches import seeded_generator
from search.data.datasets import load_dataset
from search.engine.checkpoint import load_checkpoint, write_json
from search.finalize.repair import BudgetInfeasibleError
from search.problems.choice import problem_of
from search.requests import DatasetRef, SearchRequest
from search.space.networks import network_graph, read_genotype
from search.stages import run_derive, run_export, run_train
from tests.search.engine.small import Events, few_images
from tests.search.space.tables import mixed_table

REFERENCE = DatasetRef(format="digits", image_size=8)
DATA = few_images(load_dataset(REFERENCE))
SPACES = ("dass-cells", "stages")


@lru_cache(maxsize=2)
def order(space: str) -> tuple[SearchRequest, LatencyTable]:
    """Return a request between the least budget and what is dense, and the table."""
    request = SearchRequest(
        dataset=REFERENCE,
        space=space,
        channels=4,
        cells=3,
        density=0.3,
        budget_ms=1.0,
        recipe="tiny",
        densities="budget",
        tighten=0.9,
    )
    table = mixed_table(request, DATA.task, 0.8)
    found = request.search_space(DATA.task)
    smallest_ms = found.smallest(found.estimator(table)).high_ms
    return replace(request, budget_ms=2.0 * smallest_ms), table


def derive(work: Path, request: SearchRequest, table: LatencyTable) -> dict[str, Any]:
    tables = problem_of(request, DATA.task).alphas(seeded_generator(0, "alphas")).tables
    alphas = {name: (1e3 * value.detach()).tolist() for name, value in tables.items()}
    write_json(work / "search.json", {"alphas": alphas})
    return run_derive(request, work, DATA, table, Events())


@pytest.mark.parametrize("space", SPACES)
def test_what_the_budget_decides_is_trained_exported_and_within_it(
    tmp_path: Path, space: str
) -> None:
    request, table = order(space)
    derived = derive(tmp_path, request, table)
    trained = run_train(request, tmp_path, DATA, table, Events())
    exported = run_export(request, tmp_path, DATA, table, Events())
    assert json.loads((tmp_path / "train.json").read_text()) == trained
    plan = trained["plan"]
    assert plan["budget_ms"] == request.tightened_ms
    assert plan["lower_bound"] <= plan["distortion"] + 1e-9
    assert plan["prediction"]["high_ms"] <= request.tightened_ms
    assert exported["prediction"]["high_ms"] <= request.tightened_ms
    assert trained["pattern"] is None
    genotype = read_genotype(json.loads((tmp_path / "genotype.json").read_text()))
    found = {
        choice.layer: (choice.pattern.value, choice.density)
        for choice in genotype.layers
        if choice.pattern is not SparsityPattern.CHANNEL
    }
    wanted = {
        line["layer"]: (line["pattern"], line["density"])
        for line in plan["layers"]
        if line["pattern"] != "dense"
    }
    assert found == wanted
    assert len({density for _, density in wanted.values()}) > 1
    plain = network_graph(read_genotype(derived["genotype"]), DATA.task)
    assert exported["dense_parent"] == plain.to_dict()


def test_an_order_by_budget_needs_a_table_and_a_budget_that_can_be_met(tmp_path: Path) -> None:
    request, table = order("stages")
    derive(tmp_path, request, table)
    with pytest.raises(ValueError, match="prices of a table"):
        run_train(request, tmp_path, DATA, None, Events())
    poor = replace(request, budget_ms=1e-3 * request.budget_ms)
    with pytest.raises(BudgetInfeasibleError, match="no choice of patterns and densities"):
        run_train(poor, tmp_path, DATA, table, Events())
    assert not (tmp_path / "train.json").exists()


def test_controls_keep_patterns_densities_and_the_budget(tmp_path: Path) -> None:
    request, table = order("stages")
    derive(tmp_path, request, table)
    run_train(request, tmp_path, DATA, table, Events())
    run_export(request, tmp_path, DATA, table, Events())
    result = run_controls(request, tmp_path, DATA, table, Events())
    lines = {line["name"]: line for line in result["controls"]}
    for name in ("random", "random-mask"):
        assert lines[name]["prediction"]["high_ms"] <= request.tightened_ms, name
    seed = request.seed
    own, drawn, random = (
        load_checkpoint(folder / "network.pt")["network"]
        for folder in (
            tmp_path,
            *(tmp_path / "controls" / f"{n}-{seed}" for n in ("random-mask", "random")),
        )
    )
    states = [name for name in own if name.endswith("_extra_state")]
    assert [drawn[name] for name in states] == [own[name] for name in states]
    assert any((drawn[name] != own[name]).any() for name in own if name.endswith("mask"))
    assert "dense" in {random[n]["pattern"] for n in random if n.endswith("_extra_state")}
