"""From a trained network of any space to ONNX bytes, checked against PyTorch."""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from torch import Tensor

from latency.estimate.estimator import LatencyEstimator
from latency.graph import GraphNode, NetworkGraph
from latency.lowering.build import build_model
from latency.lowering.compact import compact
from latency.lowering.find_patterns import find_patterns
from latency.lowering.mixed import build_mixed
from latency.lowering.read_model import ReadNetwork
from latency.operator import Regime, SparsityPattern
from search.export.fold import NetworkWeights, fold_weights, weight_source
from search.export.parity import max_difference
from search.finalize.train import AnyNetwork
from search.layers.operator_layers import operator_layers
from search.layers.patterns import group_scores
from search.layers.sparse import SparseLayer, sparse_layers
from search.space.dass_cells import MERGED_KERNEL, WIDTH_STEPS
from search.space.genotype import LayerChoice
from search.space.networks import AnyGenotype, network_graph

_LEAST_DENSITY = 1e-4  # genotypes round densities to four places


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """An exported network and what is known about it."""

    model: bytes  # ONNX
    genotype: AnyGenotype  # with the density of every layer
    graph: NetworkGraph  # as exported: after compaction, in the regime in which it is fastest
    dense_parent: NetworkGraph  # the same network with every weight kept, for stock runtimes
    sha256: str  # of `model`, hex
    max_abs_difference: float  # of the logits in float32, ONNX Runtime against PyTorch
    density_per_layer: dict[str, float]  # by module path, fraction of weights kept in training
    weights: int  # of the exported graph that may be other than zero, biases apart
    nonzeros: int  # of those
    removed_channels: int  # by compaction


def export_network(
    network: AnyNetwork,
    images: Tensor,
    *,
    metadata: dict[str, str] | None = None,
    estimator: LatencyEstimator | None = None,
    int8: Collection[str] = (),
) -> ExportResult:
    """Return the ONNX model of a trained network: folded, compacted, in its fastest form.

    Args:
        network: trained, its masks final.
        images: (N, C, H, W), on which ONNX Runtime is compared with PyTorch.
        metadata: more text for the model's metadata properties.
        estimator: chooses the regime, and widths in compaction; without one, the model is for
            stock runtimes and every dead channel is removed.
        int8: operators that are int8 in the file, by name of their nodes; it is then for stock
            runtimes, with ranges from `images`. Before it is quantized it is what is compared.

    Raises:
        ParityError: the model does not compute what the network does.
        QuantizationError: ONNX Runtime cannot quantize it.
    """
    genotype = sparse_genotype(network)
    full = network_graph(genotype, network.task)
    graph, weights = _compacted(full, fold_weights(network, full), estimator)
    if int8:
        graph = graph.with_int8(int8)
    elif estimator is not None:
        graph = estimator.fastest_form(graph)
    densities = layer_densities(network)
    properties = {
        **(metadata or {}),
        "edgewright.genotype": genotype.to_json(),
        "edgewright.density_per_layer": json.dumps(densities, sort_keys=True),
    }
    model, difference = _checked_model(graph, weights, properties, network, images)
    total = sum(_free_weights(node) for node in graph.nodes)
    nonzeros = sum(int(np.count_nonzero(parts["weight"])) for parts in weights.values())
    return ExportResult(
        model=model,
        genotype=genotype,
        graph=graph,
        dense_parent=network_graph(network.genotype, network.task),
        sha256=hashlib.sha256(model).hexdigest(),
        max_abs_difference=difference,
        density_per_layer=densities,
        weights=total,
        nonzeros=nonzeros,
        removed_channels=_channels(full) - _channels(graph),
    )


def _checked_model(
    graph: NetworkGraph,
    weights: NetworkWeights,
    properties: dict[str, str],
    network: AnyNetwork,
    images: Tensor,
) -> tuple[bytes, float]:
    """Return the model of a graph, and how far its logits in float32 are from those of a network."""
    source = weight_source(weights)
    # In the regime of the library zeros are not stored in any case; the quantizer knows no sparse ones.
    sparse = graph.regime is Regime.STOCK and not graph.int8_names
    plain = graph.with_int8(()) if graph.int8_names else graph
    proto = build_model(plain, source, properties, sparse_initializers=sparse)
    onnx.checker.check_model(proto)
    model: bytes = proto.SerializeToString(deterministic=True)
    difference = max_difference(model, network, images)
    if graph.int8_names:
        mixed = build_mixed(graph, source, images.cpu().numpy(), properties)
        model = mixed.SerializeToString(deterministic=True)
    return model, difference


def sparse_genotype(network: AnyNetwork) -> AnyGenotype:
    """Return the genotype of a trained network with the density that each layer reached.

    As operators of a table it is the fraction of the groups that are kept: weights or blocks.
    """
    operators = operator_layers(network)
    choices = list(network.genotype.layers)
    for node in network_graph(network.genotype, network.task).nodes:
        if not node.parameters:
            continue
        parts = list(operators[node.parameters].values())
        density = max(_kept_share(parts), _LEAST_DENSITY)
        if density < 1.0:
            choices.append(
                LayerChoice(layer=node.parameters, pattern=parts[0].pattern, density=density)
            )
    return network.genotype.with_layers(tuple(choices))


def layer_densities(network: AnyNetwork) -> dict[str, float]:
    """Return the fraction of weights that each sparse layer keeps, by module path."""
    return {
        path: round(layer.kept_weights() / layer.weight.numel(), 6)
        for path, layer in sparse_layers(network).items()
    }


def _kept_share(parts: Sequence[SparseLayer]) -> float:
    """Return the fraction of groups of weights that the parts of an operator keep together."""
    kept = [group_scores(part.mask.float(), part.pattern) > 0 for part in parts]
    return sum(int(groups.sum()) for groups in kept) / sum(groups.numel() for groups in kept)


def _compacted(
    full: NetworkGraph, weights: NetworkWeights, estimator: LatencyEstimator | None
) -> tuple[NetworkGraph, NetworkWeights]:
    """Return the network without dead channels, unless no less can be promised of it with them."""
    graph, fewer = compact(full, weights, estimator, width_steps=WIDTH_STEPS)
    graph = _described_anew(graph, fewer, full)
    # Widths were compared at the densities of before.
    if estimator is not None and estimator.predict(full).high_ms < estimator.predict(graph).high_ms:
        return full, weights
    return graph, fewer


def _described_anew(
    graph: NetworkGraph, weights: NetworkWeights, full: NetworkGraph
) -> NetworkGraph:
    """Return a compacted graph whose narrowed sparse operators are what their weights are now.

    Where dead rows have left, more of the rest is kept, and blocks may be blocks no longer.
    """
    before = {node.name: node.spec for node in full.nodes}
    found = find_patterns(ReadNetwork(graph=graph, weights=weights)).graph
    nodes = (
        new if _is_sparse(node) and node.spec != before[node.name] else node
        for node, new in zip(graph.nodes, found.nodes, strict=True)
    )
    return replace(graph, nodes=tuple(nodes))


def _is_sparse(node: GraphNode) -> bool:
    return node.spec.pattern is not SparsityPattern.DENSE


def _free_weights(node: GraphNode) -> int:
    """Return how many weights of a node could be anything but zero.

    A factorized reduce is exported as one 2x2 kernel of which each output uses one position.
    """
    positions = node.spec.kernel**2 if node.spec.kernel == MERGED_KERNEL else 1
    return node.spec.num_weights // positions


def _channels(graph: NetworkGraph) -> int:
    return sum(node.spec.out_channels for node in graph.nodes if node.spec.groups == 1)
