"""A density and a pattern for every layer of a network, so that it meets a budget.

Each layer has a few options (dense, or a pattern at a density), a price for each from the table and
a distortion for each from its trained weights; `search.finalize.knapsack` takes the least distorting
ones that fit. A network runs in one regime as a whole, so options are priced in each and the better
allocation stays. Works on graphs, so on networks of every space.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from latency.estimate.estimator import Prediction
from latency.estimate.execution import executed_nodes
from latency.estimate.lookup_table import TableEstimator
from latency.graph import INPUT, NetworkGraph
from latency.library_form import library_form
from latency.operator import OperatorSpec, Regime, SparsityPattern
from search.finalize.knapsack import Option, Plan
from search.finalize.roomiest import roomiest_plan
from search.space.genotype import LayerChoice
from search.space.sparsity import Sparsity, sparse_spec
from search.strategies.energies import GROUPED_PATTERNS, LayerEnergies

DENSE = Sparsity(pattern=SparsityPattern.DENSE, density=1.0)
# The densities at which rows are measured: between them a price is less sure.
SPARSE_OPTIONS = tuple(
    Sparsity(pattern=pattern, density=density)
    for pattern, density in product(GROUPED_PATTERNS, (0.5, 0.25, 0.1, 0.05))
)


@dataclass(frozen=True, kw_only=True)
class AllocatedLayer:
    """What was chosen for one layer."""

    layer: str
    pattern: SparsityPattern
    density: float  # fraction of its weights that are kept
    price_ns: float  # marginal cost, before calibration
    distortion: float  # -log of the share of its energy that is kept


@dataclass(frozen=True, kw_only=True)
class AllocatedDensities:
    """A network whose predicted interval ends within a budget, layer by layer."""

    graph: NetworkGraph  # in the stock regime, sparse as chosen
    layers: tuple[AllocatedLayer, ...]
    prediction: Prediction
    distortion: float  # of all layers together
    lower_bound: float  # no choice of the same cost in this regime distorts less

    @property
    def choices(self) -> tuple[LayerChoice, ...]:
        """The choices as a genotype holds them; layers that stay dense have none."""
        return tuple(
            LayerChoice(layer=layer.layer, pattern=layer.pattern, density=layer.density)
            for layer in self.layers
            if layer.pattern is not SparsityPattern.DENSE
        )


def allocate_densities(
    graph: NetworkGraph,
    estimator: TableEstimator,
    energies: Mapping[str, LayerEnergies],
    budget_ms: float,
    options: Sequence[Sparsity] = SPARSE_OPTIONS,
) -> AllocatedDensities | None:
    """Return the least distorting densities whose predicted interval ends within the budget.

    None means that the network is over the budget at its cheapest options.

    Args:
        graph: the network in the stock regime. Layers that have a pattern keep it, and what reads
            the image, depthwise convolutions and what has no weights stay as they are.
        estimator: of the target, which prices networks as they are.
        energies: of the trained weights, by `parameters` of the nodes.
        budget_ms: what the upper end of the predicted interval may be.
        options: what a layer can be beside dense.

    Raises:
        ValueError: a layer has no energies.
    """
    specs = _prunable(graph)
    if unknown := [layer for layer in specs if layer not in energies]:
        raise ValueError(f"densities: there are no weights of {unknown}, only of {list(energies)}")
    regimes = [Regime.STOCK, *([Regime.LIBRARY] if estimator.table.library is not None else [])]
    found = [
        allocated
        for regime in regimes
        if (allocated := _in_regime(graph, regime, estimator, energies, budget_ms, options))
    ]
    return min(found, key=lambda one: (one.distortion, one.prediction.latency_ms), default=None)


def _in_regime(
    graph: NetworkGraph,
    regime: Regime,
    estimator: TableEstimator,
    energies: Mapping[str, LayerEnergies],
    budget_ms: float,
    options: Sequence[Sparsity],
) -> AllocatedDensities | None:
    layers = {
        layer: _layer_options(layer, spec, estimator, energies[layer], options)
        for layer, spec in _prunable(graph, regime).items()
    }

    def accept(plan: Plan) -> AllocatedDensities | None:
        chosen = tuple(
            group[index] for group, index in zip(layers.values(), plan.chosen, strict=True)
        )
        candidate = _with_layers(graph, chosen)
        prediction = estimator.predict(candidate)
        if prediction.high_ms > budget_ms:
            return None
        return AllocatedDensities(
            graph=candidate,
            layers=chosen,
            prediction=prediction,
            distortion=plan.distortion,
            lower_bound=plan.lower_bound,
        )

    groups = [
        [Option(cost=layer.price_ns, distortion=layer.distortion) for layer in group]
        for group in layers.values()
    ]
    return roomiest_plan(groups, accept)


def _prunable(graph: NetworkGraph, regime: Regime = Regime.STOCK) -> dict[str, OperatorSpec]:
    """Return the dense operator of each layer that can be sparse, as a regime executes it."""
    layers = {
        node.parameters
        for node in graph.nodes
        if INPUT not in node.inputs and _sparse(node.spec, SPARSE_OPTIONS[0]) is not node.spec
    }
    nodes = library_form(graph).nodes if regime is Regime.LIBRARY else executed_nodes(graph)
    return {node.parameters: node.spec for node in nodes if node.parameters in layers}


def _layer_options(
    layer: str,
    spec: OperatorSpec,
    estimator: TableEstimator,
    energies: LayerEnergies,
    options: Sequence[Sparsity],
) -> list[AllocatedLayer]:
    """Return what a layer can be, the dearest first, without what costs and distorts more.

    Costs are whole nanoseconds, so that equal ones meet.
    """
    found = [
        AllocatedLayer(
            layer=layer,
            pattern=option.pattern,
            density=option.density,
            price_ns=float(round(estimator.price(_sparse(spec, option)).ns)),
            distortion=energies.distortion(option.pattern, option.density),
        )
        for option in (DENSE, *options)
    ]
    kept: list[AllocatedLayer] = []
    for one in sorted(found, key=lambda one: (one.distortion, one.price_ns)):
        if not kept or one.price_ns < kept[-1].price_ns:
            kept.append(one)
    return kept


def _with_layers(graph: NetworkGraph, layers: Sequence[AllocatedLayer]) -> NetworkGraph:
    chosen = {
        layer.layer: Sparsity(pattern=layer.pattern, density=layer.density) for layer in layers
    }
    nodes = (
        replace(node, spec=_sparse(node.spec, chosen[node.parameters]))
        if node.parameters in chosen
        else node
        for node in graph.nodes
    )
    return replace(graph, nodes=tuple(nodes))


def _sparse(spec: OperatorSpec, option: Sparsity) -> OperatorSpec:
    return spec if option.pattern is SparsityPattern.DENSE else sparse_spec(spec, option)
