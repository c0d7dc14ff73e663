"""Forms in which a stock runtime profits from zeros, each exactly the same network.

- A kernel whose weights are zero outside of a rectangle is cut to it.
- Adjacent filters that read the same input channels become balanced blocks: the runtime copies
  the channels that each block reads and convolves in groups.

A form is taken where the table prices it below the layer as it is.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from latency.estimate.estimator import LatencyEstimator
from latency.graph import GraphNode
from latency.lowering.balanced_block import channels_read
from latency.lowering.read_model import ReadNetwork
from latency.lowering.weights import Weights
from latency.operator import BALANCED_FILTERS, OperatorKind, OperatorSpec, SparsityPattern

Form = tuple[OperatorSpec, Weights]

LAYOUT_CHANNELS = 16  # stock kernels work in blocks of so many channels; others are slower
_PRECISION = 1e-4  # of a density


def with_stock_forms(network: ReadNetwork, estimator: LatencyEstimator) -> ReadNetwork:
    """Return a stock network with the cheapest form of every convolution."""
    nodes, weights = [], dict(network.weights)
    for node in network.graph.nodes:
        if node.name in weights and node.spec.kind is OperatorKind.CONV:
            node, weights[node.name] = _cheapest(node, weights[node.name], estimator)
        nodes.append(node)
    return ReadNetwork(graph=replace(network.graph, nodes=tuple(nodes)), weights=weights)


def stock_forms(spec: OperatorSpec, weights: Weights) -> Iterator[Form]:
    """Yield the forms that the zeros of a stock convolution allow.

    Of equal prices the first counts. That is the cut kernel, because less work of the same kind
    was never slower; then the convolution as it is, because blocks that were not measured may be.
    """
    cut = cut_form(spec, weights)
    if cut is not None:
        yield cut
    yield spec, weights
    yield from balanced_forms(*(cut or (spec, weights)))


def cut_form(spec: OperatorSpec, weights: Weights) -> Form | None:
    """Return a convolution with the smallest kernel that holds all its weights, or None.

    A row or column of zeros can leave only where the padding makes up for it.
    """
    weight = weights["weight"]
    used = np.asarray(weight.any(axis=(0, 1)))
    top, bottom = _zeros_around(np.asarray(used.any(axis=1)))
    left, right = _zeros_around(np.asarray(used.any(axis=0)))
    room = [pad // spec.dilation for pad in spec.pads]
    lost = [min(pair) for pair in zip((top, left, bottom, right), room, strict=True)]
    if not any(lost):
        return None
    top, left, bottom, right = lost
    height, width = used.shape
    smaller = weight[:, :, top : height - bottom, left : width - right]
    before = spec.cut
    cut = (before[0] + top, before[1] + left, before[2] + bottom, before[3] + right)
    density = max(_PRECISION, float(np.count_nonzero(smaller) / smaller.size))
    shape = replace(spec.dense(), cut=cut)
    if density < 1.0:
        shape = replace(shape, pattern=SparsityPattern.UNSTRUCTURED, density=density)
    return shape, {**weights, "weight": np.ascontiguousarray(smaller)}


def balanced_forms(spec: OperatorSpec, weights: Weights) -> Iterator[Form]:
    """Yield a convolution as balanced blocks, for every size of block that fits.

    Blocks read as many channels as the one that reads most, and also that count rounded up to
    what a stock runtime is fast with.
    """
    for filters in BALANCED_FILTERS:
        if spec.groups > 1 or spec.out_channels % filters:
            continue
        most = max(1, int(channels_read(weights["weight"], filters).sum(axis=1).max()))
        rounded = -(-most // LAYOUT_CHANNELS) * LAYOUT_CHANNELS
        for kept in sorted({most, rounded}):
            if kept < spec.in_channels:
                yield _balanced_spec(spec, filters, kept), weights


def _balanced_spec(spec: OperatorSpec, filters: int, kept: int) -> OperatorSpec:
    made = replace(
        spec.dense(),
        pattern=SparsityPattern.BALANCED_BLOCK,
        density=kept / spec.in_channels,
        block_filters=filters,
    )
    # Rounding a density may lose a channel of very many.
    return made if made.kept_channels >= kept else replace(made, density=made.density + _PRECISION)


def _cheapest(
    node: GraphNode, weights: Weights, estimator: LatencyEstimator
) -> tuple[GraphNode, Weights]:
    forms = list(stock_forms(node.spec, weights))
    spec, weights = min(forms, key=lambda form: estimator.price(form[0]).ns)
    return replace(node, spec=spec), weights


def _zeros_around(used: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Return how many entries are false before the first true one, and behind the last.

    Without a true one, the middle is taken for one.
    """
    places = np.flatnonzero(used)
    if not len(places):
        return len(used) // 2, len(used) - 1 - len(used) // 2
    return int(places[0]), len(used) - 1 - int(places[-1])
