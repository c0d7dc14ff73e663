"""Marginal cost of layers in one process: dense and sparse chains in turns, and their ratio.

A short and a long chain of different layers; the slope between them is what one more layer costs.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import onnxruntime

from latency.graph import INPUT, GraphNode, NetworkGraph
from latency.host_lock import measuring
from latency.kernels import register
from latency.library_form import library_form
from latency.lowering.build import build_model
from latency.lowering.weights import random_weights
from latency.operator import OperatorSpec, SparsityPattern
from latency.profiler.reference import reference_model
from latency.profiler.session import runner, session_options
from latency.profiler.timing import Run, Timed, TimingSettings, time_in_turns
from latency.target import Target
from latency.units import NS_PER_US

SHORT, LONG = 1, 5  # links of a chain

Column = tuple[SparsityPattern, float]  # and the fraction of the weights that is removed


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A link of a chain: layers that end with the channels that they begin with."""

    label: str
    layers: tuple[OperatorSpec, ...]


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """Speed of the library over dense, for one shape, pattern and sparsity."""

    shape: str
    pattern: str
    sparsity: float
    dense_us: float
    sparse_us: float
    ratio: float
    low: float  # first and third quartile over the rounds
    high: float


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one more link of a chain costs."""

    fastest_ns: float
    rounds_ns: tuple[float, ...]


def measure_ratios(
    shape: Shape, columns: Sequence[Column], target: Target, settings: TimingSettings
) -> list[Ratio]:
    """Return the ratio of each column, all from one run in turns."""
    runs = [_open_dense(shape.layers, links, target) for links in (SHORT, LONG)]
    for pattern, sparsity in columns:
        layers = tuple(
            replace(layer, pattern=pattern, density=1.0 - sparsity) for layer in shape.layers
        )
        runs += [_open_sparse(layers, links, target) for links in (SHORT, LONG)]
    reference = _session(reference_model(), target)
    with measuring():
        timed, _ = time_in_turns(runs, reference, settings)
    chains = list(zip(timed[::2], timed[1::2], strict=True))
    return [
        _ratio(shape.label, column, _cost(*chains[0]), _cost(*chain))
        for column, chain in zip(columns, chains[1:], strict=True)
    ]


def _cost(short: Timed, long: Timed) -> Cost:
    rounds = zip(short.samples_ns, long.samples_ns, strict=True)
    return Cost(
        fastest_ns=(min(long.samples_ns) - min(short.samples_ns)) / (LONG - SHORT),
        rounds_ns=tuple((b - a) / (LONG - SHORT) for a, b in rounds),
    )


def _ratio(label: str, column: Column, dense: Cost, sparse: Cost) -> Ratio:
    ratio = dense.fastest_ns / sparse.fastest_ns
    # A disturbed short chain can seem slower than the long one; such a round has no ratio.
    pairs = zip(dense.rounds_ns, sparse.rounds_ns, strict=True)
    rounds = [a / b for a, b in pairs if a > 0 and b > 0]
    low, _, high = statistics.quantiles(rounds, n=4) if len(rounds) > 1 else (ratio, ratio, ratio)
    return Ratio(
        shape=label,
        pattern=column[0].value,
        sparsity=column[1],
        dense_us=dense.fastest_ns / NS_PER_US,
        sparse_us=sparse.fastest_ns / NS_PER_US,
        ratio=ratio,
        low=low,
        high=high,
    )


def _open_dense(layers: Sequence[OperatorSpec], links: int, target: Target) -> Run:
    model = build_model(_chain(layers, links), random_weights(0))
    return _session(model.SerializeToString(), target)


def _open_sparse(layers: Sequence[OperatorSpec], links: int, target: Target) -> Run:
    model = build_model(library_form(_chain(layers, links)), random_weights(0))
    return _session(model.SerializeToString(), target)


def _chain(layers: Sequence[OperatorSpec], links: int) -> NetworkGraph:
    specs = list(layers) * links
    names = [INPUT, *(f"layer{index}" for index in range(len(specs)))]
    nodes = tuple(
        GraphNode(name=name, spec=spec, inputs=(source,))
        for (source, name), spec in zip(pairwise(names), specs, strict=True)
    )
    return NetworkGraph(input_shape=specs[0].in_shape, nodes=nodes)


def _session(model: bytes, target: Target) -> Run:
    options = session_options(target)
    register(options)
    return runner(onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]))
