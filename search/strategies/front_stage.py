"""The stage `front`: several networks from one search, from fast to slow, in DIR/front.json.

The supernet is trained further, on single paths, until it can judge single networks. Candidates then
come from two sources: the alphas, fitted to budgets between the smallest network and the budget of
the request; and a strategy within the budget, evolution or, as its rival, random draws.

What a candidate is worth only its own training tells (decision 0021).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from latency.table import LatencyTable
from search.data.dataset import Dataset
from search.engine.checkpoint import read_result, write_json
from search.engine.problem import AlphaTables, SearchProblem
from search.engine.progress import Progress
from search.engine.recipes import recipe_named
from search.engine.search_stage import read_alphas
from search.finalize.repair import BudgetInfeasibleError
from search.problems.choice import problem_of
from search.requests import SearchRequest
from search.space.moves import Moves
from search.space.networks import AnyGenotype, network_graph
from search.space.sparsity import PlannedEstimator
from search.strategies.evaluations import EvaluatedSearch, Evolution, RandomDraws, Strategy
from search.strategies.front import (
    Candidate,
    budget_grid,
    chosen_candidates,
    finer_grid,
    ranked,
)
from search.strategies.shared_weights import train_shared_weights

RESULT = "front.json"
# Networks that a strategy judges, by recipe.
EVALUATIONS = {"tiny": 8, "quick": 60, "cpu": 60, "standard": 300, "dass-paper": 300, "gpu": 600}
_STRATEGIES: dict[str, Callable[[Moves[Any]], Strategy[Any]]] = {
    "evolution": Evolution,
    "random": RandomDraws,
}
_BUDGETS = 8
_ROUNDS = 3  # of ever finer budgets, as long as there are too few candidates


def run_front(
    request: SearchRequest,
    work: Path,
    dataset: Dataset,
    table: LatencyTable | None,
    progress: Progress,
) -> dict[str, Any]:
    """Write front.json: `request.front` candidates within the budget, what is derived among them.

    Where those that nothing dominates are fewer, others follow; `rank` says which are dominated.
    Each has its genotype, its prediction, its graph in the form that is fastest on the target, and
    `shared_weight_accuracy`, which is a hint for an order and no accuracy to expect.

    Args:
        request: what was searched; `tighten` is applied to the budget.
        work: holds search.json and checkpoints/search.pt.
        dataset: of the search; its test images are not used.
        table: prices of the target.
        progress: hears of each epoch of single paths, and of each network that the strategy has judged.

    Raises:
        BudgetInfeasibleError: no network of the space is within the budget.
        ValueError: there is no table, or the search is missing, damaged or has not ended.
    """
    if table is None:
        raise ValueError("front: a latency table is needed to tell fast networks from slow ones")
    problem = problem_of(request, dataset.task)
    alphas = read_alphas(work)
    estimator = problem.space.estimator(table)
    smallest_ms = problem.space.smallest(estimator).high_ms
    if smallest_ms > request.tightened_ms:  # before any training
        raise BudgetInfeasibleError(request.tightened_ms, smallest_ms)
    judge = train_shared_weights(request, work, dataset, progress)
    maker = _CandidateMaker(problem, estimator, judge)
    found = maker.from_strategy(work / strategy_state(request), progress)
    found += maker.from_alphas(alphas, smallest_ms, found)
    candidates = chosen_candidates(found, request.front)
    result = {
        "budget_ms": request.budget_ms,
        "tighten": request.tighten,
        "candidates": [one.to_dict() | {"graph": maker.graph(one)} for one in candidates],
        "judged_images": judge.judged_images,
        "path_epochs": recipe_named(request.recipe).path_epochs,
        "considered": len(ranked(found)),
    }
    write_json(work / RESULT, result)
    progress.report({"candidates": len(candidates)})
    return result


def strategy_state(request: SearchRequest) -> Path:
    """Return where what the strategy has judged so far is kept, in the work folder."""
    return Path("checkpoints") / f"{request.strategy}.json"


class _CandidateMaker:
    """Makes candidates within the budget of a problem from either source.

    Args:
        problem: what was searched; the space has a network within its budget.
        estimator: of the target.
        judge: of networks; asked once for all that differ in sparsity and middle widths alone.
    """

    def __init__(
        self,
        problem: SearchProblem[Any],
        estimator: PlannedEstimator,
        judge: Callable[[AnyGenotype], float],
    ) -> None:
        self._problem, self._estimator, self._judge = problem, estimator, judge
        self._budget_ms = problem.request.tightened_ms
        self._judgements: dict[AnyGenotype, float] = {}  # by plain genotype

    def graph(self, candidate: Candidate) -> dict[str, Any]:
        """Return the network of a candidate in its fastest form, sparse as planned; JSON values."""
        graph = network_graph(candidate.genotype, self._problem.space.task)
        return self._estimator.fastest_form(graph).to_dict()

    def from_strategy(self, state: Path, progress: Progress) -> list[Candidate]:
        """Return the front of all that the strategy judges; it goes on from its last state."""
        request = self._problem.request
        moves = self._problem.moves(self._estimator.table)
        strategy = _STRATEGIES[request.strategy](moves)
        search = EvaluatedSearch(
            moves, strategy, self._judged, budget_ms=self._budget_ms, seed=request.seed
        )
        if state.exists():
            search.restore(read_result(state))
            self._judgements |= {one.genotype: one.fitness for one in search.judged}
        evaluations = EVALUATIONS[request.recipe]

        def after() -> None:
            write_json(state, search.state())
            progress.report({"judged": len(search.judged), "of": evaluations})

        search.run(evaluations, after)
        return [self._found(one.genotype) for one in search.front()]

    def _found(self, genotype: AnyGenotype) -> Candidate:
        graph = network_graph(genotype, self._problem.space.task)
        return Candidate(
            genotype=genotype,
            prediction=self._estimator.predict(graph),
            shared_weight_accuracy=self._judged(genotype),
            width_distortion=0.0,
            source=self._problem.request.strategy,
        )

    def from_alphas(
        self, alphas: AlphaTables, smallest_ms: float, others: Sequence[Candidate]
    ) -> list[Candidate]:
        """Return what the alphas say for budgets of a grid, ever finer until there are enough.

        Args:
            alphas: architecture parameters of the search.
            smallest_ms: the least budget that a network meets.
            others: candidates that there are already.
        """
        highest_ms = max(smallest_ms, self._budget_ms)
        grid = budgets = budget_grid(smallest_ms, highest_ms, _BUDGETS)
        found: list[Candidate] = []
        for _ in range(_ROUNDS):
            found += [
                self._fitted(alphas, budget_ms, derived=budget_ms == highest_ms)
                for budget_ms in budgets
            ]
            best = sum(one.rank == 0 for one in ranked([*others, *found]))
            if best >= self._problem.request.front:
                break
            budgets = finer_grid(grid)
            grid = sorted([*grid, *budgets])
        return found

    def _fitted(self, alphas: AlphaTables, budget_ms: float, *, derived: bool) -> Candidate:
        fitted = self._problem.fit(alphas, self._estimator, budget_ms)
        return Candidate(
            genotype=fitted.genotype,
            prediction=fitted.prediction,
            shared_weight_accuracy=self._judged(fitted.genotype),
            width_distortion=fitted.facts.get("width_distortion", 0.0),
            source="alphas",
            derived=derived,
        )

    def _judged(self, genotype: AnyGenotype) -> float:
        plain: AnyGenotype = genotype.with_layers(())
        if plain not in self._judgements:
            self._judgements[plain] = self._judge(plain)
        return self._judgements[plain]
