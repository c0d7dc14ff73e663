"""Middle widths of the separable convolutions of a genotype, so that it meets a budget.

Only widths buy time on a stock runtime, where a zero costs as much as any other weight. The upper
end of the predicted interval has to be within the budget, not the prediction itself.
"""

from dataclasses import dataclass

from latency.estimate.estimator import LatencyEstimator, Prediction
from search.finalize.knapsack import Option, Plan
from search.finalize.roomiest import roomiest_plan
from search.space.dass_cells import SEPARABLE, WIDTH_STEPS, build_graph, plan_cells, separable_specs
from search.space.genotype import Edge, Genotype
from search.space.sampling import separable_edges, with_widths
from search.space.task import TaskShape


@dataclass(frozen=True, kw_only=True)
class FittedNetwork:
    """A genotype with its middle widths, within a budget."""

    genotype: Genotype
    prediction: Prediction
    distortion: float  # of the widths: 0 is full width everywhere
    lower_bound: float  # no choice of widths of the same cost distorts less


def choose_widths(
    genotype: Genotype, task: TaskShape, estimator: LatencyEstimator, budget_ms: float
) -> FittedNetwork | None:
    """Return the least distorting widths whose predicted interval ends within the budget.

    None means that the cells are too slow even at their cheapest widths.
    """
    layers = separable_edges(genotype)

    def accept(plan: Plan) -> FittedNetwork | None:
        widths = {layer: WIDTH_STEPS[i] for layer, i in zip(layers, plan.chosen, strict=True)}
        candidate = with_widths(genotype, widths)
        prediction = estimator.predict(build_graph(candidate, task))
        if prediction.high_ms > budget_ms:
            return None
        return FittedNetwork(
            genotype=candidate,
            prediction=prediction,
            distortion=plan.distortion,
            lower_bound=plan.lower_bound,
        )

    return roomiest_plan(width_options(genotype, task, estimator), accept)


def width_options(
    genotype: Genotype, task: TaskShape, estimator: LatencyEstimator
) -> list[list[Option]]:
    """Return one group per separable edge, options in the order of WIDTH_STEPS.

    Dropping the weakest fraction x of channels whose energies fall linearly loses x squared of
    the energy: the distortion of a width. Costs are whole nanoseconds, so that equal ones meet.
    """
    groups: list[list[Option]] = []
    for plan in plan_cells(genotype.channels, genotype.cells, task):
        edges: tuple[Edge, ...] = getattr(genotype, plan.kind)
        for operation, source in edges:
            if operation not in SEPARABLE:
                continue
            stride = plan.stride(source)
            size = plan.out_size * stride
            group = []
            for width in WIDTH_STEPS:
                middle = max(1, round(plan.channels * width))
                specs = separable_specs(operation, plan.channels, size, stride, middle)
                cost = sum(max(0.0, estimator.price(spec).ns) for spec in specs.values())
                group.append(Option(cost=float(round(cost)), distortion=(1.0 - width) ** 2))
            groups.append(group)
    return groups
