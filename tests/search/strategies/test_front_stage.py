import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from latency.codec import encode
from latency.exchange.table_file import TableFile, write_table
from search.__main__ import main
from search.data.dataset import Dataset
from search.data.datasets import load_dataset
from search.finalize.repair import BudgetInfeasibleError
from search.requests import SearchRequest
from search.space.dass_cells import build_graph
from search.space.extremes import largest_genotype, smallest_genotype
from search.space.genotype import Genotype
from search.stages import run_derive, run_search
from search.strategies.front_stage import EVALUATIONS, RESULT, STATE, WANTED, run_front
from tests.search.engine.small import small_request
from tests.search.space.tables import SMALL, formula_table

TABLE = formula_table(4, 3, SMALL)


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


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a search that has ended."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("searched")
    request = small_request(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        run_search(request, folder / "work", load_dataset(request.dataset), TABLE, Judged())
    write_table(folder / "table.json", TableFile(table=TABLE))
    return folder


@pytest.fixture(scope="module")
def whole(searched: Path) -> dict[str, Any]:
    """Return the front of that search, made without any break."""
    request, dataset = request_of(searched)
    work = shutil.copytree(searched / "work", searched / "whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(searched))
        result = run_front(request, work, dataset, TABLE, Judged())
    assert json.loads((work / RESULT).read_text()) == json.loads(json.dumps(result))
    return result


@pytest.fixture
def work(searched: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(searched / "work", tmp_path / "work"))


def request_of(searched: Path, share: float = 0.6) -> tuple[SearchRequest, Dataset]:
    """Return a request whose budget lies between the smallest network and the largest."""
    request = small_request(searched)
    dataset = load_dataset(request.dataset)
    estimator = request.search_space(dataset.task).estimator(TABLE)
    ends = [end(estimator, 4, 3, SMALL)[1].high_ms for end in (smallest_genotype, largest_genotype)]
    return replace(request, budget_ms=ends[0] + share * (ends[1] - ends[0])), dataset


def points(result: dict[str, Any]) -> list[tuple[float, float, float]]:
    return [
        (-one["fitness"], one["prediction"]["high_ms"], one["width_distortion"])
        for one in result["candidates"]
    ]


def test_six_networks_from_one_search(searched: Path, whole: dict[str, Any]) -> None:
    request, dataset = request_of(searched)
    candidates = whole["candidates"]
    assert len(candidates) >= WANTED
    estimator = request.search_space(dataset.task).estimator(TABLE)
    for one in candidates:
        genotype = Genotype.from_dict(one["genotype"])
        predicted = estimator.predict(build_graph(genotype, SMALL))
        assert one["prediction"]["high_ms"] == pytest.approx(predicted.high_ms, rel=1e-9)
        assert one["prediction"]["high_ms"] <= request.budget_ms
        assert one["source"] in ("alphas", "evolution")
    assert len({json.dumps(one["genotype"]) for one in candidates}) == len(candidates)
    best = [p for p, one in zip(points(whole), candidates, strict=True) if one["rank"] == 0]
    for p in best:
        assert not any(q != p and all(a <= b for a, b in zip(q, p, strict=True)) for q in best)
    latencies = [one["prediction"]["high_ms"] for one in candidates]
    assert latencies == sorted(latencies)
    assert latencies[-1] > 1.2 * latencies[0], "from fast to good"
    assert 0.0 < whole["mixture_accuracy"] <= 1.0


def test_what_derive_returns_is_among_them(
    searched: Path, work: Path, whole: dict[str, Any]
) -> None:
    request, dataset = request_of(searched)
    (derived,) = (one for one in whole["candidates"] if one["derived"])
    wanted = run_derive(request, work, dataset, TABLE, Judged())
    assert derived["genotype"] == wanted["genotype"]


def test_a_front_that_was_interrupted_ends_alike(
    searched: Path, work: Path, whole: dict[str, Any]
) -> None:
    request, dataset = request_of(searched)
    with pytest.raises(KeyboardInterrupt):
        run_front(request, work, dataset, TABLE, Judged(stop_after=3))
    assert len(json.loads((work / STATE).read_text())["judged"]) == 3
    events = Judged()
    assert run_front(request, work, dataset, TABLE, events) == whole
    assert events.counts == list(range(4, EVALUATIONS["tiny"] + 1))


def test_the_smallest_network_alone_is_a_front(searched: Path, work: Path) -> None:
    request, dataset = request_of(searched, share=0.0)
    result = run_front(request, work, dataset, TABLE, Judged())
    assert len(result["candidates"]) >= 1
    assert all(high <= request.budget_ms for _, high, _ in points(result))


def test_what_cannot_be_is_refused(searched: Path, work: Path) -> None:
    request, dataset = request_of(searched)
    with pytest.raises(ValueError, match="a latency table is needed"):
        run_front(request, work, dataset, None, Judged())
    with pytest.raises(BudgetInfeasibleError):
        run_front(replace(request, budget_ms=1e-4), work, dataset, TABLE, Judged())
    (work / "search.json").unlink()
    with pytest.raises(ValueError, match=r"search\.json is missing"):
        run_front(request, work, dataset, TABLE, Judged())
    assert not (work / RESULT).exists()


def test_it_is_a_stage_like_the_others_and_knows_of_tightening(searched: Path, work: Path) -> None:
    request, _ = request_of(searched)
    (work / "request.json").write_bytes(encode(replace(request, tighten=0.7)))
    arguments = [
        "front",
        "--request", str(work / "request.json"),
        "--work", str(work),
        "--table", str(searched / "table.json"),
    ]  # fmt: skip
    assert main(arguments) == 0
    result = json.loads((work / RESULT).read_text())
    assert len(result["candidates"]) >= WANTED
    assert all(high <= 0.7 * request.budget_ms for _, high, _ in points(result))
