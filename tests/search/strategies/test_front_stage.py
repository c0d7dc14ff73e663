"""The stage `front` of both spaces: what it offers, what it refuses, exact resume."""

import json
import shutil
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from latency.codec import encode
from latency.exchange.table_file import TableFile, write_table
from latency.graph import NetworkGraph
from latency.table import LatencyTable
from search.__main__ import main
from search.data.dataset import Dataset
from search.data.datasets import load_dataset
from search.engine.recipes import RECIPES
from search.finalize.repair import BudgetInfeasibleError
from search.problems.choice import problem_of
from search.requests import SearchRequest
from search.space.networks import network_graph, read_genotype
from search.stages import run_derive, run_search
from search.strategies.front_stage import EVALUATIONS, RESULT, run_front, strategy_state
from tests.search.engine.small import small_request
from tests.search.space import stages
from tests.search.space.tables import SMALL, formula_table

CELLS = ("dass-cells", formula_table(4, 3, SMALL))
SPACES = [CELLS, ("stages", stages.table_of("library"))]
PATH_EPOCHS = RECIPES["tiny"].path_epochs


class Judged:
    """Progress that remembers, and can end as a crash would after so many networks."""

    def __init__(self, stop_after: int = 0) -> None:
        self.counts: list[int] = []
        self.stop_after = stop_after

    def report(self, event: dict[str, Any]) -> None:
        if "judged" in event:
            self.counts.append(event["judged"])
            if event["judged"] == self.stop_after:
                raise KeyboardInterrupt


@dataclass(frozen=True, kw_only=True)
class Searched:
    """A search that has ended."""

    folder: Path
    request: SearchRequest
    dataset: Dataset
    table: LatencyTable

    @cached_property
    def ends_ms(self) -> tuple[float, float]:
        """Latency of the smallest network and of a large one."""
        problem = problem_of(self.request, self.dataset.task)
        moves, rng = problem.moves(self.table), np.random.default_rng(0)
        high_ms = moves.latency_ms([moves.random(rng) for _ in range(50)]).max()
        low_ms = problem.space.smallest(problem.space.estimator(self.table)).high_ms
        return low_ms, float(high_ms)

    def with_budget(self, share: float = 0.6) -> SearchRequest:
        """Return a request whose budget lies between both ends."""
        low_ms, high_ms = self.ends_ms
        return replace(self.request, budget_ms=low_ms + share * (high_ms - low_ms))


@pytest.fixture(scope="module", params=SPACES, ids=["cells", "stages"])
def searched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Searched:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("searched")
    space, table = request.param
    asked = small_request(folder, space=space)
    dataset = load_dataset(asked.dataset)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        run_search(asked, folder / "work", dataset, table, Judged())
    write_table(folder / "table.json", TableFile(table=table))
    return Searched(folder=folder, request=asked, dataset=dataset, table=table)


@pytest.fixture(scope="module")
def whole(searched: Searched) -> dict[str, Any]:
    """Return the front of that search, made without any break."""
    work = shutil.copytree(searched.folder / "work", searched.folder / "whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(searched.folder))
        result = front_of(searched, work)
    assert json.loads((work / RESULT).read_text()) == json.loads(json.dumps(result))
    return result


@pytest.fixture
def work(searched: Searched, tmp_path: Path) -> Path:
    return Path(shutil.copytree(searched.folder / "work", tmp_path / "work"))


def front_of(
    searched: Searched, work: Path, progress: Judged | None = None, share: float = 0.6
) -> dict[str, Any]:
    request = searched.with_budget(share)
    return run_front(request, work, searched.dataset, searched.table, progress or Judged())


def points(result: dict[str, Any]) -> list[tuple[float, float, float]]:
    return [
        (-one["shared_weight_accuracy"], one["prediction"]["high_ms"], one["width_distortion"])
        for one in result["candidates"]
    ]


def test_six_networks_from_one_search(searched: Searched, whole: dict[str, Any]) -> None:
    request, candidates = searched.with_budget(), whole["candidates"]
    assert len(candidates) == request.front
    estimator = request.search_space(SMALL).estimator(searched.table)
    for one in candidates:
        graph = network_graph(read_genotype(one["genotype"]), SMALL)
        predicted = estimator.predict(graph)
        assert one["prediction"]["high_ms"] == pytest.approx(predicted.high_ms, rel=1e-9)
        assert one["prediction"]["high_ms"] <= request.budget_ms
        assert NetworkGraph.from_dict(one["graph"]) == estimator.fastest_form(graph)
        assert one["source"] in ("alphas", "evolution")
    assert len({json.dumps(one["genotype"]) for one in candidates}) == len(candidates)
    best = [p for p, one in zip(points(whole), candidates, strict=True) if one["rank"] == 0]
    for p in best:
        assert not any(q != p and all(a <= b for a, b in zip(q, p, strict=True)) for q in best)
    latencies = [one["prediction"]["high_ms"] for one in candidates]
    assert latencies == sorted(latencies)
    assert latencies[-1] > 1.2 * latencies[0], "from fast to good"
    assert whole["path_epochs"] == PATH_EPOCHS


def test_what_derive_returns_is_among_them(
    searched: Searched, work: Path, whole: dict[str, Any]
) -> None:
    (derived,) = (one for one in whole["candidates"] if one["derived"])
    request = searched.with_budget()
    wanted = run_derive(request, work, searched.dataset, searched.table, Judged())
    assert derived["genotype"] == wanted["genotype"]
    assert derived["graph"] == wanted["graph"]


def test_a_front_that_was_interrupted_ends_alike(
    searched: Searched, work: Path, whole: dict[str, Any]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        front_of(searched, work, Judged(stop_after=3))
    assert len(json.loads((work / strategy_state(searched.request)).read_text())["judged"]) == 3
    events = Judged()
    assert front_of(searched, work, events) == whole
    assert events.counts == list(range(4, EVALUATIONS["tiny"] + 1))


def test_the_smallest_network_alone_is_a_front(searched: Searched, work: Path) -> None:
    request = searched.with_budget(0.0)
    result = front_of(searched, work, share=0.0)
    assert len(result["candidates"]) >= 1
    assert all(high <= request.budget_ms for _, high, _ in points(result))


def test_what_cannot_be_is_refused(searched: Searched, work: Path) -> None:
    request, dataset = searched.with_budget(), searched.dataset
    with pytest.raises(ValueError, match="a latency table is needed"):
        run_front(request, work, dataset, None, Judged())
    with pytest.raises(BudgetInfeasibleError):
        run_front(replace(request, budget_ms=1e-4), work, dataset, searched.table, Judged())
    (work / "search.json").unlink()
    with pytest.raises(ValueError, match=r"search\.json is missing"):
        run_front(request, work, dataset, searched.table, Judged())
    assert not (work / RESULT).exists()


def test_it_is_a_stage_like_the_others_and_knows_of_tightening(
    searched: Searched, work: Path
) -> None:
    request = replace(searched.with_budget(), tighten=0.7, front=3, strategy="random")
    (work / "request.json").write_bytes(encode(request))
    arguments = [
        "front",
        "--request", str(work / "request.json"),
        "--work", str(work),
        "--table", str(searched.folder / "table.json"),
    ]  # fmt: skip
    assert main(arguments) == 0
    result = json.loads((work / RESULT).read_text())
    assert len(result["candidates"]) == 3
    assert {one["source"] for one in result["candidates"]} <= {"alphas", "random"}
    assert all(high <= 0.7 * request.budget_ms for _, high, _ in points(result))
