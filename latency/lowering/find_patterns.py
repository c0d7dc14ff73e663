"""Which pattern the zeros of a network have, so that its layers are priced as they will run."""

from dataclasses import replace

import numpy as np

from latency.graph import GraphNode
from latency.lowering.library import SINGLE_COST, compress, fastest_rows
from latency.lowering.read_model import ReadNetwork
from latency.lowering.weights import Weights
from latency.operator import BLOCK_ROWS, OperatorKind, OperatorSpec, SparsityPattern

_LEAST_DENSITY = 1e-4  # specs round to four places, and nothing has no density


def find_patterns(network: ReadNetwork) -> ReadNetwork:
    """Return the network with the pattern and density that the weights of each layer have.

    A layer is `block` where the operator library is faster with blocks of rows than with single
    weights, and then its density is that of its blocks.
    """
    nodes = tuple(_found(node, network.weights.get(node.name, {})) for node in network.graph.nodes)
    return replace(network, graph=replace(network.graph, nodes=nodes))


def true_density(weights: Weights) -> float:
    """Return the fraction of weights that are not zero."""
    weight = weights["weight"]
    return float(np.count_nonzero(weight) / weight.size)


def library_work(network: ReadNetwork) -> float:
    """Return how much the library multiplies, in blocks of rows; single weights in their cost.

    It is for the comparison of forms of one network, as long as there are no prices.
    """
    work = 0.0
    for node in network.graph.nodes:
        spec = node.spec
        if node.name in network.weights:
            cost = BLOCK_ROWS * SINGLE_COST if spec.pattern is SparsityPattern.UNSTRUCTURED else 1.0
            pixels = spec.out_height * spec.out_width
            work += cost * spec.density * spec.num_weights * pixels / BLOCK_ROWS
    return work


def _found(node: GraphNode, weights: Weights) -> GraphNode:
    if not weights or node.spec.is_depthwise:
        return node
    pattern, density = _pattern(node.spec, weights)
    return replace(node, spec=replace(node.spec.dense(), pattern=pattern, density=density))


def _pattern(spec: OperatorSpec, weights: Weights) -> tuple[SparsityPattern, float]:
    """Return the pattern of a layer and its density as a spec has it."""
    weight = weights["weight"]
    if spec.kind is OperatorKind.LINEAR:
        weight = weight[:, :, None, None]
    pattern, density = SparsityPattern.UNSTRUCTURED, true_density(weights)
    if fastest_rows(spec, weight) == BLOCK_ROWS:
        _, groups = compress(weight, BLOCK_ROWS)
        blocks = -(-weight.shape[0] // BLOCK_ROWS)
        pattern, density = SparsityPattern.BLOCK, len(groups) / (blocks * weight[0].size)
    density = max(_LEAST_DENSITY, round(density, 4))
    return (SparsityPattern.DENSE, 1.0) if density == 1.0 else (pattern, density)
