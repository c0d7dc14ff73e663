"""Bring a derived genotype under a latency budget: first by widths, then by other operations."""

from dataclasses import dataclass, replace
from functools import cached_property

from latency.estimate.estimator import Prediction
from search.finalize.derive import NONE, Alphas, log_probabilities
from search.finalize.widths import FittedNetwork, choose_widths
from search.space.cell_costs import CellCosts
from search.space.cell_encoding import encode_edges
from search.space.cell_interactions import mixed_edge
from search.space.cell_variants import CellSize
from search.space.extremes import smallest_genotype
from search.space.genotype import EDGES, Edge, Genotype
from search.space.primitives import OPERATIONS
from search.space.sparsity import PlannedEstimator
from search.space.task import TaskShape

_LEAST_SAVED = 1e-9  # of the latency: less is rounding
_LEAST_LOSS = 1e-6  # a swap that the alphas prefer counts as almost free


class BudgetInfeasibleError(ValueError):
    """Nothing that could be chosen is predicted to be within the budget.

    `smallest_feasible_ms` is the least upper end of the interval of any network.

    Args:
        budget_ms: that is not met.
        smallest_feasible_ms: what could be met instead.
        device: on which, where there are several.
        jointly: the budget could be met if those of the other devices were not there.
        what: that could be chosen does not meet it.
    """

    def __init__(
        self,
        budget_ms: float,
        smallest_feasible_ms: float,
        device: str = "",
        *,
        jointly: bool = False,
        what: str = "no network of the space",
    ) -> None:
        on = f" on {device}" if device else ""
        beside = " together with the budgets of the other devices" if jointly else ""
        super().__init__(
            f"{what} meets {budget_ms:.4g} ms{on}{beside}; "
            f"the smallest budget that one meets is {smallest_feasible_ms:.4g} ms"
        )
        self.code = "budget-infeasible"
        self.budget_ms = budget_ms
        self.smallest_feasible_ms = smallest_feasible_ms
        self.device = device


@dataclass(frozen=True, kw_only=True)
class _Swap:
    kind: str
    index: int
    edge: Edge
    loss: float  # of log-probability


class RepairPath:
    """The networks between what the alphas say and the cheapest one, for budgets of one target.

    One edge after another is given a cheaper operation or another input, always the one that loses
    least probability per millisecond saved. That does not depend on the budget, so the path is
    walked once, as far as any budget needs.

    Args:
        derived: the genotype that the alphas say.
        alphas: (14, 8) architecture parameters of `normal` and `reduce`.
        task: image and classes.
        estimator: of the target.
    """

    def __init__(
        self,
        derived: Genotype,
        alphas: dict[str, Alphas],
        task: TaskShape,
        estimator: PlannedEstimator,
    ) -> None:
        self._derived, self._alphas = derived, alphas
        self._task, self._estimator = task, estimator
        self._walked = [derived]

    def fit(self, budget_ms: float) -> tuple[FittedNetwork, bool]:
        """Return the first network that meets the budget, and whether it is another than derived.

        Widths are narrowed before an edge is changed. If nothing on the path meets the budget, the
        cheapest network of the space is taken.

        Args:
            budget_ms: what the upper end of the predicted interval may be.

        Raises:
            BudgetInfeasibleError: the cheapest network of the space is over the budget as well.
        """
        fitted = self._with_widths(self._derived, budget_ms)
        if fitted is not None:
            return fitted, False
        smallest, prediction = self._smallest
        if prediction.high_ms > budget_ms:
            raise BudgetInfeasibleError(budget_ms, prediction.high_ms)
        position = 1
        while (genotype := self._at(position)) is not None:
            fitted = self._with_widths(genotype, budget_ms)
            if fitted is not None:
                return fitted, True
            position += 1
        fitted = FittedNetwork(
            genotype=smallest, prediction=prediction, distortion=0.0, lower_bound=0.0
        )
        return fitted, True

    def _with_widths(self, genotype: Genotype, budget_ms: float) -> FittedNetwork | None:
        return choose_widths(genotype, self._task, self._estimator, budget_ms)

    def _at(self, position: int) -> Genotype | None:
        """Return the network after so many swaps; None is behind the end of the path."""
        while len(self._walked) <= position:
            last = self._walked[-1]
            swap = _best_swap(last, self._scores, self._costs)
            if swap is None:
                return None
            self._walked.append(_apply(last, swap))
        return self._walked[position]

    @cached_property
    def _smallest(self) -> tuple[Genotype, Prediction]:
        size = self._derived.channels, self._derived.cells
        return smallest_genotype(self._estimator, *size, self._task)

    @cached_property
    def _costs(self) -> CellCosts:
        size = CellSize(channels=self._derived.channels, cells=self._derived.cells, task=self._task)
        return CellCosts(self._estimator, size)

    @cached_property
    def _scores(self) -> dict[str, Alphas]:
        return {kind: log_probabilities(table) for kind, table in self._alphas.items()}


def _best_swap(genotype: Genotype, scores: dict[str, Alphas], costs: CellCosts) -> _Swap | None:
    """Return the swap that loses least per millisecond, of those that make the network faster."""
    swaps = [
        swap
        for kind in ("normal", "reduce")
        for index in range(EDGES)
        for swap in _swaps(genotype, kind, index, scores[kind])
    ]
    edges = encode_edges([genotype, *(_apply(genotype, swap) for swap in swaps)])
    latency_ms = costs.latency_ms(edges)
    saved = latency_ms[0] - latency_ms[1:]
    ranked = (
        (max(_LEAST_LOSS, swap.loss) / ms, swap)
        for swap, ms in zip(swaps, saved.tolist(), strict=True)
        if ms > _LEAST_SAVED * latency_ms[0]
    )
    return min(ranked, key=lambda found: found[0], default=(0.0, None))[1]


def _swaps(genotype: Genotype, kind: str, index: int, scores: Alphas) -> list[_Swap]:
    """Return every other way to make one edge; a node reads two different inputs."""
    edges: tuple[Edge, ...] = getattr(genotype, kind)
    operation, source = edges[index]
    taken = edges[index ^ 1][1]
    now = scores[mixed_edge(index, source), OPERATIONS.index(operation)]
    return [
        _Swap(
            kind=kind,
            index=index,
            edge=(name, other),
            loss=float(now - scores[mixed_edge(index, other), column]),
        )
        for other in sorted(set(range(index // 2 + 2)) - {taken})
        for column, name in enumerate(OPERATIONS)
        if column != NONE and (name, other) != (operation, source)
    ]


def _apply(genotype: Genotype, swap: _Swap) -> Genotype:
    edges: tuple[Edge, ...] = getattr(genotype, swap.kind)
    changed = (*edges[: swap.index], swap.edge, *edges[swap.index + 1 :])
    if swap.kind == "normal":
        return replace(genotype, normal=changed)
    return replace(genotype, reduce=changed)
