"""The front of a search for two devices: within every budget, ordered by what one needs most of."""

import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from latency.graph import NetworkGraph
from latency.table import LatencyTable
from search.data.dataset import Dataset
from search.data.datasets import load_dataset
from search.engine.problem import PricedDevice, priced_devices
from search.finalize.fit_devices import largest_share
from search.finalize.repair import BudgetInfeasibleError
from search.problems.choice import problem_of
from search.requests import DeviceBudget, SearchRequest
from search.space.networks import network_graph, read_genotype
from search.stages import run_derive, run_search
from search.strategies.front_stage import EVALUATIONS, RESULT, run_front, strategy_state
from search.strategies.shared_weights import PATHS
from tests.search.engine.small import small_request
from tests.search.space import stages
from tests.search.space.tables import SMALL, formula_table, other_table
from tests.search.strategies.test_front_stage import Judged

PAIRS = {
    "dass-cells": (formula_table(4, 3, SMALL), other_table(4, 3, SMALL)),
    "stages": (stages.table_of("library"), replace(stages.table_of("stock"), version=8)),
}
SPACES = list(PAIRS)
TIMES = (4.0, 3.0)  # the budgets, in times what the first device's smallest network takes
ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Searched:
    """A search for two devices that has ended."""

    folder: Path
    request: SearchRequest
    dataset: Dataset
    tables: tuple[LatencyTable, LatencyTable]

    @property
    def devices(self) -> tuple[PricedDevice, ...]:
        return priced_devices(problem_of(self.request, SMALL), self.tables)

    def front(self, work: Path, progress: Judged | None = None, **changed: Any) -> dict[str, Any]:
        request = replace(self.request, **changed)
        table, *others = self.tables
        return run_front(request, work, self.dataset, table, progress or Judged(), others=others)


@pytest.fixture(scope="module", params=SPACES)
def searched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Searched:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("searched")
    space, tables = request.param, PAIRS[request.param]
    plain = small_request(folder, space=space)
    problem = problem_of(plain, SMALL)
    graph = network_graph(problem.moves(tables[0]).smallest(), SMALL)
    first_ms, second_ms = (
        times * problem.space.estimator(table).predict(graph).high_ms
        for times, table in zip(TIMES, tables, strict=True)
    )
    also = (DeviceBudget(device="pi", budget_ms=second_ms),)
    asked = replace(plain, budget_ms=first_ms, device="box", also=also)
    dataset = load_dataset(asked.dataset)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        run_search(asked, folder / "work", dataset, tables[0], Judged(), others=tables[1:])
    return Searched(folder=folder, request=asked, dataset=dataset, tables=tables)


@pytest.fixture(scope="module")
def whole(searched: Searched) -> dict[str, Any]:
    """Return the front of that search, made without any break."""
    work = shutil.copytree(searched.folder / "work", searched.folder / "whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(searched.folder))
        result = searched.front(work)
    assert json.loads((work / RESULT).read_text()) == json.loads(json.dumps(result))
    return result


@pytest.fixture
def work(searched: Searched, tmp_path: Path) -> Path:
    return Path(shutil.copytree(searched.folder / "work", tmp_path / "work"))


def test_every_candidate_keeps_every_budget_and_says_what_each_device_makes_of_it(
    searched: Searched, whole: dict[str, Any]
) -> None:
    candidates, devices = whole["candidates"], searched.devices
    assert len(candidates) == searched.request.front == 6
    for one in candidates:
        graph = network_graph(read_genotype(one["genotype"]), SMALL)
        predictions = [device.estimator.predict(graph) for device in devices]
        parts = [one, *one["also"]]
        for part, predicted, device in zip(parts, predictions, devices, strict=True):
            assert part["prediction"] == asdict(predicted)
            assert part["prediction"]["high_ms"] <= device.budget_ms * (1 + ROUNDING)
            assert part["prediction"]["table_version"] == device.estimator.table.version
            form = device.estimator.fastest_form(graph)
            assert NetworkGraph.from_dict(part["graph"]) == form
        assert one["budget_used"] == largest_share(predictions, devices)
        (pi,) = one["also"]
        asked = searched.request.also[0]
        assert (pi["device"], pi["budget_ms"], pi["tighten"]) == ("pi", asked.budget_ms, 1.0)
    assert len({json.dumps(one["genotype"]) for one in candidates}) == len(candidates)


def test_candidates_are_ordered_and_compared_by_the_device_that_needs_most(
    whole: dict[str, Any],
) -> None:
    used = [one["budget_used"] for one in whole["candidates"]]
    assert used == sorted(used)
    assert used[-1] > 1.2 * used[0], "from fast to good"
    best = [
        (-one["shared_weight_accuracy"], one["budget_used"], one["width_distortion"])
        for one in whole["candidates"]
        if one["rank"] == 0
    ]
    for p in best:
        assert not any(q != p and all(a <= b for a, b in zip(q, p, strict=True)) for q in best)


def test_what_derive_returns_for_both_is_among_them(
    searched: Searched, work: Path, whole: dict[str, Any]
) -> None:
    (derived,) = (one for one in whole["candidates"] if one["derived"])
    table, *others = searched.tables
    wanted = run_derive(searched.request, work, searched.dataset, table, Judged(), others=others)
    assert derived["genotype"] == wanted["genotype"]
    assert [derived["graph"], derived["also"]] == [wanted["graph"], wanted["also"]]


def test_a_front_for_both_that_was_interrupted_ends_alike(
    searched: Searched, work: Path, whole: dict[str, Any]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        searched.front(work, Judged(stop_after=3))
    (asked,) = searched.request.also
    with pytest.raises(ValueError, match="ms on the other devices, not of"):
        searched.front(work, also=(replace(asked, budget_ms=1.1 * asked.budget_ms),))
    events = Judged()
    assert searched.front(work, events) == whole
    assert events.counts == list(range(4, EVALUATIONS["tiny"] + 1))


def test_the_budget_of_one_device_can_be_tightened(searched: Searched, work: Path) -> None:
    also = (replace(searched.request.also[0], tighten=0.7),)
    result = searched.front(work, also=also, front=3, strategy="random")
    assert (work / strategy_state(replace(searched.request, strategy="random"))).exists()
    assert 1 <= len(result["candidates"]) <= 3
    for one in result["candidates"]:
        (pi,) = one["also"]
        assert pi["prediction"]["high_ms"] <= also[0].tightened_ms * (1 + ROUNDING)
        assert one["prediction"]["high_ms"] <= searched.request.budget_ms * (1 + ROUNDING)


def test_the_device_whose_budget_cannot_be_kept_is_named_before_any_training(
    searched: Searched, work: Path
) -> None:
    also = (DeviceBudget(device="pi", budget_ms=1e-4),)
    with pytest.raises(BudgetInfeasibleError, match="ms on pi; the smallest budget"):
        searched.front(work, also=also)
    assert not (work / PATHS).exists()
    assert not (work / RESULT).exists()
