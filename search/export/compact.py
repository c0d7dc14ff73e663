"""Compaction: channels that carry nothing leave the graph, exactly.

A channel of a convolution's output can leave where everything between it and the next full
convolutions treats channels one by one (depthwise convolution, ReLU, pooling): then it is a row
less here, a filter less in between and a column less there, and no index has to be gathered. It
leaves if its row is all zero, or if nothing behind it looks at it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from latency.estimate.estimator import LatencyEstimator
from latency.graph import GraphNode, NetworkGraph
from latency.operator import OperatorKind, OperatorSpec
from search.export.fold import Arrays, NetworkWeights
from search.space.dass_cells import WIDTH_STEPS

Channels = npt.NDArray[np.bool_]

_CHANNELWISE = (OperatorKind.RELU, OperatorKind.MAX_POOL, OperatorKind.AVG_POOL)


@dataclass(frozen=True, kw_only=True)
class _Span:
    """A convolution, what passes its channels on, and the convolutions that read them."""

    producer: GraphNode
    between: tuple[GraphNode, ...]
    readers: tuple[GraphNode, ...]


def compact(
    graph: NetworkGraph, weights: NetworkWeights, estimator: LatencyEstimator | None = None
) -> tuple[NetworkGraph, NetworkWeights]:
    """Return the same network with fewer channels, and its weights.

    Without an estimator every dead channel leaves. With one, of the widths that keep all live
    channels the one of the least predicted latency is taken, among those that the table knows as
    well as the present one: odd widths can be slower than full ones on a runtime that works in
    blocks of channels. Dead channels then fill a width up.
    """
    for name in [node.name for node in graph.nodes]:
        span = _span(graph, name)
        if span is None:
            continue
        alive = live_channels(span, weights)
        width = _best_width(graph, span, int(alive.sum()), estimator)
        if width < len(alive):
            graph = _narrow_graph(graph, span, width)
            weights = _narrow_weights(weights, span, _fill_up(alive, width))
    return graph, weights


def live_channels(span: _Span, weights: NetworkWeights) -> Channels:
    """Return which output channels of the span's producer reach the result."""
    silent = {span.producer.name: _zero_rows(weights[span.producer.name])}
    for node in span.between:
        before = silent[node.inputs[0]]
        if node.spec.kind is OperatorKind.CONV:
            # Without a bias, a filter of zeros and an input of zeros both give zeros.
            unbiased = weights[node.name]["bias"] == 0.0
            before = (before & unbiased) | _zero_rows(weights[node.name])
        silent[node.name] = before
    alive = np.zeros_like(silent[span.producer.name])
    for node in span.readers:
        alive |= ~silent[node.inputs[0]] & weights[node.name]["weight"].any(axis=(0, 2, 3))
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
    return spec.kind is OperatorKind.CONV and spec.groups == 1


def _is_channelwise(spec: OperatorSpec) -> bool:
    depthwise = spec.kind is OperatorKind.CONV and spec.groups == spec.in_channels
    return spec.kind in _CHANNELWISE or (depthwise and spec.out_channels == spec.in_channels)


def _zero_rows(arrays: Arrays) -> Channels:
    rows = arrays["weight"].reshape(len(arrays["bias"]), -1).any(axis=1)
    return np.asarray(~rows & (arrays["bias"] == 0.0))


def _best_width(
    graph: NetworkGraph, span: _Span, alive: int, estimator: LatencyEstimator | None
) -> int:
    full = span.producer.spec.out_channels
    alive = max(1, alive)
    if estimator is None:
        return alive
    best, best_ms = full, estimator.predict(graph)
    for width in sorted({max(1, round(full * step)) for step in WIDTH_STEPS} | {alive}):
        if not alive <= width < full:
            continue
        found = estimator.predict(_narrow_graph(graph, span, width))
        known = found.measured >= best_ms.measured
        if known and found.latency_ms < best_ms.latency_ms:
            best, best_ms = width, found
    return best


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


def _narrow_weights(weights: NetworkWeights, span: _Span, kept: Channels) -> NetworkWeights:
    narrowed = dict(weights)
    for node in (span.producer, *span.between):
        if node.name in weights:
            arrays = weights[node.name]
            narrowed[node.name] = {"weight": arrays["weight"][kept], "bias": arrays["bias"][kept]}
    for node in span.readers:
        arrays = weights[node.name]
        narrowed[node.name] = {"weight": arrays["weight"][:, kept], "bias": arrays["bias"]}
    return narrowed
