"""A density and a pattern for every layer of a network, so that it meets a budget.

Each layer has a few options (dense, or a pattern at a density), a price for each from the table and
a distortion for each from its trained weights; `search.finalize.knapsack` takes the least distorting
ones that fit. A network runs in one regime as a whole, so options are priced in each and the better
allocation stays. Works on graphs, so on networks of every space.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from latency.estimate.estimator import Prediction
from latency.estimate.execution import executed_nodes
from latency.estimate.lookup_table import TableEstimator
from latency.graph import INPUT, NetworkGraph
from latency.library_form import library_form
from latency.operator import OperatorSpec, Regime, SparsityPattern
from latency.table import LatencyTable
from search.finalize.energies import GROUPED_PATTERNS
from search.finalize.knapsack import Option, Plan
from search.finalize.layer_distortion import LayerDistortion
from search.finalize.repair import BudgetInfeasibleError
from search.finalize.roomiest import roomiest_plan
from search.space.sparsity import Sparsity, sparse_spec

DENSE = Sparsity(pattern=SparsityPattern.DENSE, density=1.0)
# The densities at which rows are measured: between them a price is less sure.
SPARSE_OPTIONS = tuple(
    Sparsity(pattern=pattern, density=density)
    for pattern, density in product(GROUPED_PATTERNS, (0.5, 0.25, 0.1, 0.05))
)


@dataclass(frozen=True, kw_only=True)
class AllocatedLayer:
    """What was chosen for one layer."""

    layer: str  # as `parameters` of a graph names it
    pattern: SparsityPattern
    density: float  # fraction of its groups of weights that training keeps, and that is priced
    price_ns: float  # marginal cost, before calibration
    distortion: float  # as it was estimated

    @property
    def sparsity(self) -> Sparsity:
        """Pattern and density together."""
        return Sparsity(pattern=self.pattern, density=self.density)


@dataclass(frozen=True, kw_only=True)
class AllocatedDensities:
    """A network that is sparse as chosen, layer by layer."""

    graph: NetworkGraph  # in the stock regime
    layers: tuple[AllocatedLayer, ...]
    prediction: Prediction
    distortion: float  # of all layers together
    lower_bound: float  # no choice of the same cost in this regime distorts less

    @property
    def chosen(self) -> dict[str, Sparsity]:
        """Pattern and density by layer."""
        return {layer.layer: layer.sparsity for layer in self.layers}


def measured_options(table: LatencyTable, *planned: Sparsity) -> tuple[Sparsity, ...]:
    """Return what layers can be beside dense: the patterns that a table has rows of, and the plan.

    A pattern without rows would be priced by what is known of others, and of prices that are
    guessed the knapsack takes those that are too low.

    Args:
        table: of the target.
        planned: by which the network was found, if it was, so that it fits the budget in this form
            at least.
    """
    measured = {row.spec.pattern for row in table.rows}
    return (*(option for option in SPARSE_OPTIONS if option.pattern in measured), *planned)


def allocate_densities(
    graph: NetworkGraph,
    estimator: TableEstimator,
    losses: Mapping[str, LayerDistortion],
    budget_ms: float,
    options: Sequence[Sparsity] = SPARSE_OPTIONS,
    *,
    allows: Callable[[OperatorSpec, Sparsity], bool] = lambda _spec, _option: True,
) -> AllocatedDensities:
    """Return the least distorting densities whose predicted interval ends within the budget.

    Args:
        graph: the network in the stock regime. Layers that have a pattern keep it, and what reads
            the image, depthwise convolutions and what has no weights stay as they are.
        estimator: of the target, which prices networks as they are.
        losses: of the trained weights, by `parameters` of the nodes.
        budget_ms: what the upper end of the predicted interval may be.
        options: what a layer can be beside dense.
        allows: whether an operator may be an option.

    Raises:
        BudgetInfeasibleError: at its cheapest options too the network is over the budget.
        ValueError: nothing is known of what a layer loses.
    """
    if unknown := [layer for layer in prunable_layers(graph) if layer not in losses]:
        raise ValueError(f"densities: there are no weights of {unknown}, only of {list(losses)}")
    tried: list[AllocatedDensities] = []

    def allowed(spec: OperatorSpec) -> list[Sparsity]:
        return [option for option in options if allows(spec, option)]

    def accept(candidate: AllocatedDensities) -> AllocatedDensities | None:
        tried.append(candidate)
        return candidate if candidate.prediction.high_ms <= budget_ms else None

    regimes = [Regime.STOCK, *([Regime.LIBRARY] if estimator.table.library is not None else [])]
    found = [
        allocated
        for regime in regimes
        if (allocated := _in_regime(graph, regime, estimator, losses, allowed, accept))
    ]
    if not found:
        smallest_ms = min(candidate.prediction.high_ms for candidate in tried)
        raise BudgetInfeasibleError(
            budget_ms, smallest_ms, what="no choice of patterns and densities"
        )
    return min(found, key=lambda one: (one.distortion, one.prediction.latency_ms))


def _in_regime(
    graph: NetworkGraph,
    regime: Regime,
    estimator: TableEstimator,
    losses: Mapping[str, LayerDistortion],
    allowed: Callable[[OperatorSpec], Sequence[Sparsity]],
    accept: Callable[[AllocatedDensities], AllocatedDensities | None],
) -> AllocatedDensities | None:
    layers = {
        layer: layer_options(layer, spec, estimator, losses[layer], allowed(spec))
        for layer, spec in prunable_layers(graph, regime).items()
    }

    def accept_plan(plan: Plan) -> AllocatedDensities | None:
        chosen = tuple(
            group[index] for group, index in zip(layers.values(), plan.chosen, strict=True)
        )
        candidate = with_layers(graph, {layer.layer: layer.sparsity for layer in chosen})
        return accept(
            AllocatedDensities(
                graph=candidate,
                layers=chosen,
                prediction=estimator.predict(candidate),
                distortion=plan.distortion,
                lower_bound=plan.lower_bound,
            )
        )

    groups = [
        [Option(cost=layer.price_ns, distortion=layer.distortion) for layer in group]
        for group in layers.values()
    ]
    return roomiest_plan(groups, accept_plan)


def prunable_layers(graph: NetworkGraph, regime: Regime = Regime.STOCK) -> dict[str, OperatorSpec]:
    """Return the dense operator of each layer that can be sparse, as a regime executes it."""
    layers = {
        node.parameters
        for node in graph.nodes
        if INPUT not in node.inputs and sparse_operator(node.spec, SPARSE_OPTIONS[0]) != node.spec
    }
    nodes = library_form(graph).nodes if regime is Regime.LIBRARY else executed_nodes(graph)
    return {node.parameters: node.spec for node in nodes if node.parameters in layers}


def layer_options(
    layer: str,
    spec: OperatorSpec,
    estimator: TableEstimator,
    losses: LayerDistortion,
    options: Sequence[Sparsity],
) -> list[AllocatedLayer]:
    """Return what a layer can be, the dearest first, without what costs and distorts more.

    Costs are whole nanoseconds, so that equal ones meet.
    """
    found = []
    for option in (DENSE, *options):
        reached = losses.reached(option.pattern, option.density)
        priced = sparse_operator(spec, replace(option, density=reached))
        found.append(
            AllocatedLayer(
                layer=layer,
                pattern=option.pattern,
                density=reached,
                price_ns=float(round(estimator.price(priced).ns)),
                distortion=losses.distortion(option.pattern, option.density),
            )
        )
    best: list[AllocatedLayer] = []
    for one in sorted(found, key=lambda one: (one.distortion, one.price_ns)):
        if not best or one.price_ns < best[-1].price_ns:
            best.append(one)
    return best


def with_layers(graph: NetworkGraph, chosen: Mapping[str, Sparsity]) -> NetworkGraph:
    """Return the network with what was chosen for its layers."""
    nodes = (
        replace(node, spec=sparse_operator(node.spec, chosen[node.parameters]))
        if node.parameters in chosen
        else node
        for node in graph.nodes
    )
    return replace(graph, nodes=tuple(nodes))


def sparse_operator(spec: OperatorSpec, option: Sparsity) -> OperatorSpec:
    """Return a dense operator as one of its options."""
    return spec if option.pattern is SparsityPattern.DENSE else sparse_spec(spec, option)
