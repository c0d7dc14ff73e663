"""Bring a derived genotype to a latency budget: first by widths, then by other operations.

Under it first of all. A network that leaves more than a tenth of it is made dearer, since the time
that a user has allowed is there for accuracy, and cheap operations look too good in a supernet.
"""

from functools import cached_property

from latency.estimate.estimator import Prediction
from search.finalize.derive import Alphas, log_probabilities
from search.finalize.swaps import apply_swap, cheaper_swap, dearer_swaps
from search.finalize.widths import FittedNetwork, choose_widths
from search.space.cell_costs import CellCosts
from search.space.cell_variants import CellSize
from search.space.dass_cells import build_graph
from search.space.extremes import smallest_genotype
from search.space.genotype import Genotype
from search.space.sparsity import PlannedEstimator
from search.space.task import TaskShape

FILLED = 0.9  # of the budget: what a network is to need at least, where there is such a network


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
        """Return a network that meets the budget and uses it, and whether it is another than derived.

        It is the first on the path that meets it, where widths are narrowed before an edge is changed.
        If nothing on the path meets the budget, the cheapest network of the space is taken. If it
        needs less than FILLED of the budget at full width, it is climbed from there.

        Args:
            budget_ms: what the upper end of the predicted interval may be.

        Raises:
            BudgetInfeasibleError: the cheapest network of the space is over the budget as well.
        """
        fitted = self._with_widths(self._derived, budget_ms)
        if fitted is not None:
            filled = self._filled(fitted, budget_ms)
            return filled, filled is not fitted
        smallest, prediction = self._smallest
        if prediction.high_ms > budget_ms:
            raise BudgetInfeasibleError(budget_ms, prediction.high_ms)
        position = 1
        while (genotype := self._at(position)) is not None:
            fitted = self._with_widths(genotype, budget_ms)
            if fitted is not None:
                return self._filled(fitted, budget_ms), True
            position += 1
        fitted = FittedNetwork(
            genotype=smallest, prediction=prediction, distortion=0.0, lower_bound=0.0
        )
        return self._filled(fitted, budget_ms), True

    def _filled(self, fitted: FittedNetwork, budget_ms: float) -> FittedNetwork:
        """Return a network that needs FILLED of the budget; the same where none is found."""
        if fitted.genotype.layers:  # narrowed: all that the budget allows
            return fitted
        found: FittedNetwork | None = fitted
        while found is not None and found.prediction.high_ms < FILLED * budget_ms:
            found = self._dearer(found.genotype, budget_ms)
        return found or fitted

    def _dearer(self, genotype: Genotype, budget_ms: float) -> FittedNetwork | None:
        """Return the next network up, of those within the budget; None is the end."""
        for swap in dearer_swaps(genotype, self._scores, self._costs, budget_ms):
            candidate = apply_swap(genotype, swap)
            prediction = self._estimator.predict(build_graph(candidate, self._task))
            if prediction.high_ms <= budget_ms:
                return FittedNetwork(
                    genotype=candidate, prediction=prediction, distortion=0.0, lower_bound=0.0
                )
        return None

    def _with_widths(self, genotype: Genotype, budget_ms: float) -> FittedNetwork | None:
        return choose_widths(genotype, self._task, self._estimator, budget_ms)

    def _at(self, position: int) -> Genotype | None:
        """Return the network after so many swaps; None is behind the end of the path."""
        while len(self._walked) <= position:
            last = self._walked[-1]
            swap = cheaper_swap(last, self._scores, self._costs)
            if swap is None:
                return None
            self._walked.append(apply_swap(last, swap))
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
