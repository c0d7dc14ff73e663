"""One pattern and one density for all layers: what most people would do, and so the rival of plans."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from latency.estimate.lookup_table import TableEstimator
from latency.graph import NetworkGraph
from search.finalize.densities import (
    DENSE,
    AllocatedDensities,
    AllocatedLayer,
    prunable_layers,
    sparse_operator,
    with_layers,
)
from search.finalize.layer_distortion import LayerDistortion
from search.finalize.repair import BudgetInfeasibleError
from search.space.sparsity import Sparsity

_BISECTIONS = 12  # the density is found to a four-thousandth


def allocate_uniformly(
    graph: NetworkGraph,
    estimator: TableEstimator,
    losses: Mapping[str, LayerDistortion],
    budget_ms: float,
    options: Sequence[Sparsity],
) -> AllocatedDensities:
    """Return the one density, and of the patterns the one, that distort least within the budget.

    Arguments and errors are those of `allocate_densities`. Of the options the patterns count, and the
    least density of each: below it prices are guesses. The lower bound is zero: nothing is known of
    other choices.
    """
    dense = _alike(graph, estimator, losses, DENSE)
    if dense.prediction.high_ms <= budget_ms:
        return dense
    sparsest_last = sorted(options, key=lambda option: -option.density)
    least = list({option.pattern: option for option in sparsest_last}.values())
    smallest = [_alike(graph, estimator, losses, sparsity) for sparsity in least]
    found = [
        _densest(graph, estimator, losses, budget_ms, sparsity)
        for sparsity, candidate in zip(least, smallest, strict=True)
        if candidate.prediction.high_ms <= budget_ms
    ]
    if not found:
        smallest_ms = min(candidate.prediction.high_ms for candidate in (dense, *smallest))
        raise BudgetInfeasibleError(budget_ms, smallest_ms, what="no density of all layers alike")
    return min(found, key=lambda one: one.distortion)


def _densest(
    graph: NetworkGraph,
    estimator: TableEstimator,
    losses: Mapping[str, LayerDistortion],
    budget_ms: float,
    least: Sparsity,
) -> AllocatedDensities:
    """Return the largest density within the budget; that of `least` is."""
    best = _alike(graph, estimator, losses, least)
    low, high = least.density, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        candidate = _alike(graph, estimator, losses, replace(least, density=middle))
        if candidate.prediction.high_ms <= budget_ms:
            best, low = candidate, middle
        else:
            high = middle
    return best


def _alike(
    graph: NetworkGraph,
    estimator: TableEstimator,
    losses: Mapping[str, LayerDistortion],
    sparsity: Sparsity,
) -> AllocatedDensities:
    """Return the network with all its layers as sparse as `sparsity` says."""
    layers = {
        layer: replace(sparsity, density=losses[layer].reached(sparsity.pattern, sparsity.density))
        for layer in prunable_layers(graph)
    }
    network = with_layers(graph, layers)
    prediction = estimator.predict(network)
    allocated = tuple(
        AllocatedLayer(
            layer=layer,
            pattern=sparsity.pattern,
            density=layers[layer].density,
            price_ns=float(round(estimator.price(sparse_operator(spec, layers[layer])).ns)),
            distortion=losses[layer].distortion(sparsity.pattern, sparsity.density),
        )
        for layer, spec in prunable_layers(graph, prediction.regime).items()
    )
    return AllocatedDensities(
        graph=network,
        layers=allocated,
        prediction=prediction,
        distortion=sum(layer.distortion for layer in allocated),
        lower_bound=0.0,
    )
