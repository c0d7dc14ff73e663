"""The stage `front`: several networks from one search, from fast to slow, in DIR/front.json.

Candidates come from two sources, all judged with the same trained supernet: the alphas, fitted to
budgets between the smallest network and the budget of the request; and evolution within the budget.

A supernet that was trained as a mixture judges skips and pools too well (decision 0021): what the
candidates are worth only their own training tells.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from latency.table import LatencyTable
from search.data.dataset import Dataset
from search.engine.checkpoint import read_result, write_json
from search.engine.progress import Progress
from search.engine.search_stage import RESULT as SEARCH_RESULT
from search.finalize.derive import Alphas, derive_genotype
from search.finalize.repair import BudgetInfeasibleError, RepairPath
from search.requests import SearchRequest
from search.space.dass_cells import build_graph
from search.space.genotype import Genotype
from search.space.planned_space import PlannedSpace
from search.strategies.evaluations import EvaluatedSearch, Evolution
from search.strategies.front import (
    Candidate,
    budget_grid,
    chosen_candidates,
    finer_grid,
    ranked,
)
from search.strategies.moves import CellMoves
from search.strategies.shared_weights import load_shared_weights, space_of_cells

RESULT = "front.json"
STATE = "checkpoints/front.json"  # what evolution has judged so far
WANTED = 6  # candidates at least, where the space has so many
# Of evolution, by recipe.
EVALUATIONS = {"tiny": 8, "quick": 60, "cpu": 60, "standard": 300, "dass-paper": 300, "gpu": 600}
_BUDGETS = 8
_ROUNDS = 3  # of ever finer budgets, as long as there are too few candidates


def run_front(
    request: SearchRequest,
    work: Path,
    dataset: Dataset,
    table: LatencyTable | None,
    progress: Progress,
) -> dict[str, Any]:
    """Write front.json: candidates within the budget, what nothing dominates and what is derived.

    Where those are fewer than WANTED, others follow; `rank` says which are dominated. How far
    `fitness` can be trusted is seen from how near it comes to `mixture_accuracy`: a supernet that was
    trained as a mixture only judges networks of few convolutions too well (decision 0021).

    Args:
        request: what was searched; `tighten` is applied to the budget.
        work: holds search.json and checkpoints/search.pt.
        dataset: of the search; its test images are not used.
        table: prices of the target.
        progress: hears of each network that evolution has judged.

    Raises:
        BudgetInfeasibleError: no network of the space is within the budget.
        ValueError: there is no table, the space has no fronts, or the search is missing, damaged or
            has not ended.
    """
    if table is None:
        raise ValueError("front: a latency table is needed to tell fast networks from slow ones")
    space = space_of_cells(request, dataset.task)
    alphas = _read_alphas(work)
    judge = load_shared_weights(request, work, dataset)
    maker = _CandidateMaker(space, table, request.tightened_ms, judge)
    found = maker.from_evolution(request, work / STATE, progress)
    found += maker.from_alphas(alphas, found)
    candidates = chosen_candidates(found, WANTED)
    result = {
        "budget_ms": request.budget_ms,
        "tighten": request.tighten,
        "candidates": [candidate.to_dict() for candidate in candidates],
        "judged_images": judge.judged_images,
        "mixture_accuracy": judge.mixture_accuracy(),
        "considered": len(ranked(found)),
    }
    write_json(work / RESULT, result)
    progress.report({"candidates": len(candidates)})
    return result


class _CandidateMaker:
    """Makes candidates within a budget from either source, judging no cells twice.

    Raises:
        BudgetInfeasibleError: no network of the space is within the budget.
    """

    def __init__(
        self,
        space: PlannedSpace,
        table: LatencyTable,
        budget_ms: float,
        judge: Callable[[Genotype], float],
    ) -> None:
        self._space, self._table, self._budget_ms = space, table, budget_ms
        self._estimator = space.estimator(table)
        self._smallest_ms = space.smallest(self._estimator).high_ms
        if self._smallest_ms > budget_ms:
            raise BudgetInfeasibleError(budget_ms, self._smallest_ms)
        self._judge = judge
        self._fitness: dict[Genotype, float] = {}  # by cells, without widths

    def from_evolution(
        self, request: SearchRequest, state: Path, progress: Progress
    ) -> list[Candidate]:
        """Return the front of all that evolution judges; it goes on from its last state."""
        moves = CellMoves(self._space, self._table)
        search = EvaluatedSearch(
            moves,
            Evolution(moves),
            self._judged,
            budget_ms=self._budget_ms,
            seed=request.seed,
        )
        if state.exists():
            search.restore(read_result(state))
            self._fitness |= {one.genotype: one.fitness for one in search.judged}
        evaluations = EVALUATIONS[request.recipe]

        def after() -> None:
            write_json(state, search.state())
            progress.report({"judged": len(search.judged), "of": evaluations})

        search.run(evaluations, after)
        front = [one.genotype for one in search.front()]
        if not front:  # as when the smallest network just meets the budget, but for rounding
            return []
        predictions = self._space.predictor(self._table).predict(front)
        return [
            Candidate(
                genotype=genotype,
                prediction=predictions.prediction(index),
                fitness=self._judged(genotype),
                width_distortion=0.0,
                source="evolution",
            )
            for index, genotype in enumerate(front)
        ]

    def from_alphas(
        self, alphas: dict[str, Alphas], others: Sequence[Candidate]
    ) -> list[Candidate]:
        """Return what the alphas say for budgets of a grid, ever finer until there are enough.

        Args:
            alphas: (14, 8) architecture parameters of `normal` and `reduce`.
            others: candidates that there are already.
        """
        space = self._space
        derived = derive_genotype(**alphas, channels=space.channels, cells=space.cells)
        path = RepairPath(derived, alphas, space.task, self._estimator)
        largest_ms = self._estimator.predict(build_graph(derived, space.task)).high_ms
        # Beyond what the alphas derive, a larger budget changes nothing.
        highest_ms = max(self._smallest_ms, min(self._budget_ms, largest_ms))
        grid = budgets = budget_grid(self._smallest_ms, highest_ms, _BUDGETS)
        found: list[Candidate] = []
        for _ in range(_ROUNDS):
            found += [
                self._fitted(path, budget_ms, derived=budget_ms == highest_ms)
                for budget_ms in budgets
            ]
            if sum(one.rank == 0 for one in ranked([*others, *found])) >= WANTED:
                break
            budgets = finer_grid(grid)
            grid = sorted([*grid, *budgets])
        return found

    def _fitted(self, path: RepairPath, budget_ms: float, *, derived: bool) -> Candidate:
        fitted, _ = path.fit(budget_ms)
        return Candidate(
            genotype=fitted.genotype,
            prediction=fitted.prediction,
            fitness=self._judged(fitted.genotype),
            width_distortion=fitted.distortion,
            source="alphas",
            derived=derived,
        )

    def _judged(self, genotype: Genotype) -> float:
        cells = genotype.with_layers(())
        if cells not in self._fitness:
            self._fitness[cells] = self._judge(cells)
        return self._fitness[cells]


def _read_alphas(work: Path) -> dict[str, Alphas]:
    alphas = read_result(work / SEARCH_RESULT)["alphas"]
    return {kind: np.array(alphas[kind], dtype=float) for kind in ("normal", "reduce")}
