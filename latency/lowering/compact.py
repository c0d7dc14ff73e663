"""Compaction: channels that carry nothing leave the graph, exactly.

A channel of an output can leave where everything between it and the next full convolutions or
linear layers treats channels one by one (depthwise convolution, ReLU, pooling): then it is a row
less here, a filter less in between and a column less there, and no index has to be gathered. It
leaves if nothing behind it looks at it, or if it is zero; also, where that is asked for, if it is
any constant that can be added to the biases behind it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from latency.estimate.estimator import LatencyEstimator
from latency.graph import GraphNode, NetworkGraph
from latency.lowering.constant_channels import Constants, activated, is_constant, passed_on
from latency.lowering.weights import Weights
from latency.operator import OperatorKind, OperatorSpec

Channels = npt.NDArray[np.bool_]
NetworkWeights = dict[str, Weights]  # "weight" and "bias" by node name; only nodes with weights

WIDTH_STEPS = tuple(step / 16 for step in range(1, 17))  # of the full width

_CHANNELWISE = (
    OperatorKind.RELU,
    OperatorKind.MAX_POOL,
    OperatorKind.AVG_POOL,
    OperatorKind.GLOBAL_AVG_POOL,
)


@dataclass(frozen=True, kw_only=True)
class _Span:
    """An operator with full weights, what passes its channels on, and what reads them."""

    producer: GraphNode
    between: tuple[GraphNode, ...]
    readers: tuple[GraphNode, ...]


def compact(
    graph: NetworkGraph,
    weights: NetworkWeights,
    estimator: LatencyEstimator | None = None,
    *,
    width_steps: Sequence[float] = WIDTH_STEPS,
    fold_constants: bool = False,
    group: int = 1,
) -> tuple[NetworkGraph, NetworkWeights]:
    """Return the same network with fewer channels, and its weights.

    Without an estimator every dead channel leaves. With one, of the widths that keep all live
    channels the one of the least predicted latency is taken, among those that the table knows as
    well as the present one: odd widths can be slower than full ones on a runtime that works in
    blocks of channels. Dead channels then fill a width up.

    Args:
        graph: a stock network.
        weights: of its nodes, by name.
        estimator: of the target.
        width_steps: widths that are tried, as fractions of the full one.
        fold_constants: let channels of a constant leave as well, into the biases behind them.
        group: only so many adjacent channels leave together, the first at a multiple of it, so
            that blocks of filters stay blocks.
    """
    for name in [node.name for node in graph.nodes]:
        span = _span(graph, name)
        if span is None:
            continue
        constants = _constants(span, weights, fold=fold_constants)
        alive = _whole_groups(_live_channels(span, weights, constants), group)
        width = _best_width(graph, span, int(alive.sum()), estimator, width_steps)
        if width < len(alive):
            kept = _fill_up(alive, width)
            graph = _narrow_graph(graph, span, width)
            weights = _narrow_weights(weights, span, kept, constants)
    return graph, weights


def _constants(span: _Span, weights: NetworkWeights, *, fold: bool) -> dict[str, Constants]:
    """Return which channels of each tensor of the span are constants; NaN where they are not.

    Without `fold` only zeros count that no bias made.
    """
    producer = span.producer
    values = is_constant(weights[producer.name], fold=fold)
    known = {producer.name: activated(producer.spec, values)}
    for node in span.between:
        known[node.name] = passed_on(
            node.spec, known[node.inputs[0]], weights.get(node.name, {}), fold=fold
        )
    return known


def _live_channels(
    span: _Span, weights: NetworkWeights, constants: dict[str, Constants]
) -> Channels:
    """Return which output channels of the span's producer have to stay."""
    alive = np.zeros(span.producer.spec.out_channels, dtype=np.bool_)
    for node in span.readers:
        values = constants[node.inputs[0]]
        # A border of zeros is no part of the constant, so only without padding can it be folded.
        leaves = values == 0.0 if any(node.spec.pads) else ~np.isnan(values)
        weight = weights[node.name]["weight"]
        alive |= ~leaves & weight.any(axis=tuple({*range(weight.ndim)} - {1}))
    return alive


def _span(graph: NetworkGraph, name: str) -> _Span | None:
    """Return the span that starts at node `name`, or None where its channels cannot leave."""
    nodes = {node.name: node for node in graph.nodes}
    producer = nodes[name]
    if not _mixes(producer.spec):
        return None
    carrying, between, readers = {name}, [], []
    for node in graph.nodes:
        if not carrying.intersection(node.inputs):
            continue
        if _mixes(node.spec):
            readers.append(node)
        elif _is_channelwise(node.spec):
            between.append(node)
            carrying.add(node.name)
        else:
            return None
    if not readers or graph.nodes[-1].name in carrying:
        return None
    return _Span(producer=producer, between=tuple(between), readers=tuple(readers))


def _mixes(spec: OperatorSpec) -> bool:
    return spec.kind is OperatorKind.LINEAR or (spec.kind is OperatorKind.CONV and spec.groups == 1)


def _is_channelwise(spec: OperatorSpec) -> bool:
    depthwise = spec.kind is OperatorKind.CONV and spec.groups == spec.in_channels
    return spec.kind in _CHANNELWISE or (depthwise and spec.out_channels == spec.in_channels)


def _best_width(
    graph: NetworkGraph,
    span: _Span,
    alive: int,
    estimator: LatencyEstimator | None,
    width_steps: Sequence[float],
) -> int:
    full = span.producer.spec.out_channels
    alive = max(1, alive)
    if estimator is None or alive == full:
        return alive
    best, best_ms = full, estimator.predict(graph)
    for width in sorted({max(1, round(full * step)) for step in width_steps} | {alive}):
        if not alive <= width < full:
            continue
        found = estimator.predict(_narrow_graph(graph, span, width))
        known = found.measured >= best_ms.measured
        if known and found.latency_ms < best_ms.latency_ms:
            best, best_ms = width, found
    return best


def _whole_groups(alive: Channels, group: int) -> Channels:
    """Return `alive` with every group alive that has a live channel."""
    starts = np.arange(0, len(alive), group)
    groups = np.logical_or.reduceat(alive, starts)
    return np.repeat(groups, group)[: len(alive)]


def _fill_up(alive: Channels, width: int) -> Channels:
    """Return `alive` with the first dead channels kept, `width` channels in all."""
    kept = alive.copy()
    kept[np.flatnonzero(~alive)[: width - int(alive.sum())]] = True
    return kept


def _narrow_graph(graph: NetworkGraph, span: _Span, width: int) -> NetworkGraph:
    changed = {node.name: node for node in _narrow_nodes(span, width)}
    nodes = tuple(changed.get(node.name, node) for node in graph.nodes)
    return replace(graph, nodes=nodes)


def _narrow_nodes(span: _Span, width: int) -> Iterator[GraphNode]:
    producer, readers = span.producer, span.readers
    yield replace(producer, spec=replace(producer.spec, out_channels=width))
    for node in span.between:
        groups = width if node.spec.kind is OperatorKind.CONV else 1
        spec = replace(node.spec, in_channels=width, out_channels=width, groups=groups)
        yield replace(node, spec=spec)
    for node in readers:
        yield replace(node, spec=replace(node.spec, in_channels=width))


def _narrow_weights(
    weights: NetworkWeights, span: _Span, kept: Channels, constants: dict[str, Constants]
) -> NetworkWeights:
    narrowed = dict(weights)
    for node in (span.producer, *span.between):
        if node.name in weights:
            arrays = weights[node.name]
            narrowed[node.name] = {"weight": arrays["weight"][kept], "bias": arrays["bias"][kept]}
    for node in span.readers:
        arrays = weights[node.name]
        removed = np.where(kept, 0.0, np.nan_to_num(constants[node.inputs[0]]))
        narrowed[node.name] = {
            "weight": arrays["weight"][:, kept],
            "bias": _bias_with(arrays, removed),
        }
    return narrowed


def _bias_with(arrays: Weights, removed: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    """Return the bias of a reader, with what constant channels that leave add to it."""
    if not removed.any():
        return arrays["bias"]
    weight = arrays["weight"].astype(np.float64)
    places = weight.reshape(*weight.shape[:2], -1).sum(axis=2)
    return np.asarray((arrays["bias"] + places @ removed).astype(np.float32))
