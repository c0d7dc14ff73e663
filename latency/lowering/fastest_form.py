"""A network with zeros in its weights to the fastest model that computes exactly the same."""

from collections.abc import Iterator
from dataclasses import dataclass

import onnx

from latency.estimate.estimator import Prediction, PriceSource
from latency.estimate.execution import executed_nodes
from latency.estimate.lookup_table import TableEstimator
from latency.graph import NetworkGraph
from latency.library_form import library_form, row_spec
from latency.lowering.build import build_model
from latency.lowering.compact import compact
from latency.lowering.find_patterns import find_patterns, library_work, true_density
from latency.lowering.read_model import ReadNetwork, read_model
from latency.lowering.stock_forms import stock_forms, with_stock_forms
from latency.operator import (
    BALANCED_FILTERS,
    BLOCK_ROWS,
    OperatorKind,
    OperatorSpec,
    Regime,
    SparsityPattern,
)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer with weights of the built model."""

    name: str
    spec: OperatorSpec
    density: float  # fraction of its weights that are not zero


@dataclass(frozen=True, kw_only=True)
class FastestForm:
    """The model, and what is known about it."""

    model: onnx.ModelProto
    network: ReadNetwork  # as built
    layers: tuple[Layer, ...]
    removed_channels: int  # by compaction
    predictions: dict[Regime, Prediction]  # of the best form of each regime; empty if unpriced
    unmeasured: tuple[OperatorSpec, ...]  # operators of the model without a row of their own

    @property
    def regime(self) -> Regime:
        """Whose kernels execute the model."""
        return self.network.graph.regime


def fastest_form(
    source: onnx.ModelProto | ReadNetwork, estimator: TableEstimator | None = None
) -> FastestForm:
    """Return the fastest exact form of a network.

    Dead channels leave, zeros are recognised, and the network is priced whole in the regime of
    the library and in that of stock runtimes with its stock forms; the cheaper one is built.

    Args:
        source: an ONNX model of the operators of `read_model`, or a stock network.
        estimator: of the target; without one the form for the library is built, with every dead
            channel gone.

    Raises:
        ValueError: the model cannot be read; the message names the node. Or the table has no rows.
    """
    network = source if isinstance(source, ReadNetwork) else read_model(source)
    if estimator is None:
        found = min(_compactions(network, None), key=library_work)
        built, predictions = _in_library(found), {}
    else:
        forms = [(form, estimator.predict_form(form.graph)) for form in _forms(network, estimator)]
        forms.sort(key=lambda pair: -pair[1].latency_ms)
        built = forms[-1][0]
        predictions = {prediction.regime: prediction for _, prediction in forms}
    return FastestForm(
        model=build_model(
            built.graph, built.source, sparse_initializers=built.graph.regime is Regime.STOCK
        ),
        network=built,
        layers=tuple(_layers(built)),
        removed_channels=_channels(network.graph) - _channels(built.graph),
        predictions=predictions,
        unmeasured=_unmeasured(built.graph, estimator),
    )


def operators_to_measure(source: onnx.ModelProto | ReadNetwork) -> tuple[OperatorSpec, ...]:
    """Return every operator whose row could change what `fastest_form` builds, each once.

    Raises:
        ValueError: the model cannot be read.
    """
    network = source if isinstance(source, ReadNetwork) else read_model(source)
    wanted: dict[OperatorSpec, None] = {}
    for found in _compactions(network, None):
        wanted |= dict.fromkeys(node.spec.dense() for node in executed_nodes(found.graph))
        for node in found.graph.nodes:
            if node.spec.kind is OperatorKind.CONV:
                forms = stock_forms(node.spec, found.weights[node.name])
                wanted |= dict.fromkeys(_priced_as(spec) for spec, _ in forms)
        wanted |= dict.fromkeys(row_spec(spec) for spec in library_form(found.graph).operators)
    return tuple(wanted)


def _priced_as(spec: OperatorSpec) -> OperatorSpec:
    """Return the operator that a stock runtime executes: single zeros are weights to it."""
    return spec if spec.pattern is SparsityPattern.BALANCED_BLOCK else spec.dense()


def _forms(network: ReadNetwork, estimator: TableEstimator) -> Iterator[ReadNetwork]:
    """Yield what is worth pricing, in both regimes."""
    for found in _compactions(network, estimator):
        yield with_stock_forms(found, estimator)
        if estimator.table.library is not None:
            yield _in_library(found)


def _compactions(network: ReadNetwork, estimator: TableEstimator | None) -> Iterator[ReadNetwork]:
    """Yield the network without its dead channels, and with those that may be worth keeping.

    A channel that leaves moves all behind it, so blocks of filters may be blocks no longer.
    """
    seen: list[NetworkGraph] = []
    for group in (1, BLOCK_ROWS, *BALANCED_FILTERS):
        compacted = _compacted(network, None, group)
        # Groups that leave the same widths leave the same channels.
        if compacted.graph not in seen:
            seen.append(compacted.graph)
            yield find_patterns(compacted)
    if estimator is not None and seen[0] != network.graph:
        yield find_patterns(_compacted(network, estimator))


def _compacted(
    network: ReadNetwork, estimator: TableEstimator | None, group: int = 1
) -> ReadNetwork:
    graph, weights = compact(
        network.graph, network.weights, estimator, fold_constants=True, group=group
    )
    return ReadNetwork(graph=graph, weights=weights)


def _in_library(network: ReadNetwork) -> ReadNetwork:
    return ReadNetwork(graph=library_form(network.graph), weights=network.weights)


def _layers(network: ReadNetwork) -> Iterator[Layer]:
    for node in network.graph.nodes:
        weights = network.weights.get(node.name)
        if weights:
            yield Layer(name=node.name, spec=node.spec, density=true_density(weights))


def _channels(graph: NetworkGraph) -> int:
    full = [node.spec for node in graph.nodes if node.spec.weight_shape and node.spec.groups == 1]
    return sum(spec.out_channels for spec in full)


def _unmeasured(graph: NetworkGraph, estimator: TableEstimator | None) -> tuple[OperatorSpec, ...]:
    specs = dict.fromkeys(node.spec for node in executed_nodes(graph))
    if estimator is None:
        return tuple(specs)
    prices = {spec: estimator.price(spec) for spec in specs}
    return tuple(s for s, price in prices.items() if price.source is not PriceSource.MEASURED)
