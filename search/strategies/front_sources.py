"""Where the candidates of a front come from: the alphas, and a strategy within the budgets.

Of several devices every budget is kept, and what counts of a network is the largest share that a
device needs of its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from latency.estimate.estimator import Prediction
from search.engine.checkpoint import read_result, write_json
from search.engine.problem import AlphaTables, Fitted, PricedDevice, SearchProblem
from search.engine.progress import Progress
from search.finalize.fit_devices import largest_share
from search.space.moves import Moves
from search.space.networks import AnyGenotype, network_graph
from search.strategies.evaluations import EvaluatedSearch, Evolution, RandomDraws, Strategy
from search.strategies.front import Candidate, finer_grid, ranked, share_grid
from search.strategies.several_targets import WorstCaseMoves

_STRATEGIES: dict[str, Callable[[Moves[Any]], Strategy[Any]]] = {
    "evolution": Evolution,
    "random": RandomDraws,
}
_SHARES = 8
_ROUNDS = 3  # of ever finer shares, as long as there are too few candidates
_ROUNDING = 1e-9  # relative: a network is within its own share of the budgets


def fit_share(
    problem: SearchProblem[Any],
    alphas: AlphaTables,
    devices: Sequence[PricedDevice],
    share: float,
) -> Fitted[Any]:
    """Return the network of the alphas within that share of every budget; 1 is what is derived.

    Raises:
        BudgetInfeasibleError: no network of the space is; it names the device that is furthest
            from it.
    """
    first, *others = (replace(one, budget_ms=share * one.budget_ms) for one in devices)
    return problem.fit(alphas, first.estimator, first.budget_ms, others)


class CandidateMaker:
    """Makes candidates within the budgets of a problem from either source.

    Args:
        problem: what was searched; the space has a network within every budget.
        devices: of its request, with prices, in order.
        judge: of networks; asked once for all that differ in sparsity and middle widths alone.
    """

    def __init__(
        self,
        problem: SearchProblem[Any],
        devices: Sequence[PricedDevice],
        judge: Callable[[AnyGenotype], float],
    ) -> None:
        self._problem, self._devices, self._judge = problem, tuple(devices), judge
        self._moves = _moves(problem, devices)
        self._judgements: dict[AnyGenotype, float] = {}  # by plain genotype

    def from_strategy(self, evaluations: int, state: Path, progress: Progress) -> list[Candidate]:
        """Return the front of all that the strategy judges; it goes on from its last state.

        Args:
            evaluations: how many networks it judges.
            state: file of what it has judged so far; need not exist.
            progress: hears of each.

        Raises:
            ValueError: the state is damaged, or of another seed or of other budgets.
        """
        request = self._problem.request
        own_ms, *also_ms = (one.budget_ms for one in self._devices)
        strategy = _STRATEGIES[request.strategy](self._moves)
        search = EvaluatedSearch(
            self._moves, strategy, self._judged, budget_ms=own_ms, seed=request.seed
        )
        if state.exists():
            saved = read_result(state)
            if (of_others := saved.get("also_ms", [])) != also_ms:
                raise ValueError(
                    f"strategy: the state is of budgets {of_others} ms on the other devices, "
                    f"not of {also_ms}"
                )
            search.restore(saved)
            self._judgements |= {one.genotype: one.fitness for one in search.judged}

        def after() -> None:
            write_json(state, search.state() | ({"also_ms": also_ms} if also_ms else {}))
            progress.report({"judged": len(search.judged), "of": evaluations})

        search.run(evaluations, after)
        return [self._full_width(one.genotype, request.strategy) for one in search.front()]

    def from_alphas(
        self, alphas: AlphaTables, derived: Fitted[Any], others: Sequence[Candidate]
    ) -> list[Candidate]:
        """Return what the alphas say for shares of a grid, ever finer until there are enough.

        Args:
            alphas: architecture parameters of the search.
            derived: what they say for the whole budgets.
            others: candidates that there are already.
        """
        grid = shares = share_grid(self._least_share(), _SHARES)
        found: list[Candidate] = []
        for _ in range(_ROUNDS):
            found += [
                self._fitted(derived, derived=True)
                if share == 1.0
                else self._fitted(fit_share(self._problem, alphas, self._devices, share))
                for share in shares
            ]
            best = sum(one.rank == 0 for one in ranked([*others, *found]))
            if best >= self._problem.request.front:
                break
            shares = finer_grid(grid)
            grid = sorted([*grid, *shares])
        return found

    def _least_share(self) -> float:
        """Return the least share of all budgets that a network is known to keep.

        Of several devices that is 1 where what is cheapest on one of them is too slow on another.
        """
        used = largest_share(self._predicted(self._moves.smallest()), self._devices)
        return min(1.0, used * (1.0 + _ROUNDING))

    def _fitted(self, fitted: Fitted[Any], *, derived: bool = False) -> Candidate:
        distortion = fitted.facts.get("width_distortion", 0.0)
        found = self._full_width(fitted.genotype, "alphas")
        return replace(found, width_distortion=distortion, derived=derived)

    def _full_width(self, genotype: AnyGenotype, source: str) -> Candidate:
        predictions = self._predicted(genotype)
        return Candidate(
            genotype=genotype,
            prediction=predictions[0],
            budget_used=largest_share(predictions, self._devices),
            shared_weight_accuracy=self._judged(genotype),
            width_distortion=0.0,
            source=source,
        )

    def _predicted(self, genotype: AnyGenotype) -> list[Prediction]:
        graph = network_graph(genotype, self._problem.space.task)
        return [one.estimator.predict(graph) for one in self._devices]

    def _judged(self, genotype: AnyGenotype) -> float:
        plain: AnyGenotype = genotype.with_layers(())
        if plain not in self._judgements:
            self._judgements[plain] = self._judge(plain)
        return self._judgements[plain]


def _moves(problem: SearchProblem[Any], devices: Sequence[PricedDevice]) -> Moves[Any]:
    """Return the moves of one device as they are, and those for all where there are several."""
    each = [problem.moves(one.estimator.table) for one in devices]
    if len(each) == 1:
        return each[0]
    return WorstCaseMoves(each, [one.budget_ms for one in devices])
