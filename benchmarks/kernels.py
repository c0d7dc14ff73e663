"""How much faster is the operator library than dense ONNX Runtime? `make bench-kernels`.

Every figure is a ratio of marginal costs in one interleaved run: a short and a long chain of
different layers, dense in stock ONNX Runtime and sparse in the library, run in turns; the slope
between short and long is what one more layer costs. Other work on a machine only ever adds time,
so the ratio is that of the fastest runs; the spread, in brackets, is the interquartile range of
the ratios of single rounds and tells how quiet the machine was.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

import onnxruntime

from latency.graph import INPUT, GraphNode, NetworkGraph
from latency.host_lock import measuring
from latency.kernels import library_path, register
from latency.lowering.build import build_model
from latency.lowering.weights import random_weights
from latency.operator import Activation, OperatorKind, OperatorSpec, SparsityPattern
from latency.profiler.device import current_target
from latency.profiler.reference import reference_model
from latency.profiler.session import runner, session_options
from latency.profiler.timing import Run, Timed, TimingSettings, time_in_turns
from latency.target import Target
from latency.units import NS_PER_MS, NS_PER_US

SPARSITIES = (0.8, 0.9, 0.95)
# (channels, channels between, size): a pair of layers there and back.
POINTWISE = (
    (64, 384, 14), (96, 576, 14), (160, 960, 7), (32, 192, 28),
    (24, 144, 56), (128, 128, 16), (256, 256, 8), (64, 64, 32),
)  # fmt: skip
# (channels, size): single layers of 3x3 with padding.
SPATIAL = ((64, 56), (128, 28), (256, 14), (512, 7), (64, 32), (128, 16), (256, 8))
SHORT, LONG = 1, 5  # links of a chain
# Long enough that most runs of a sample find their own data in the second-level cache, as they do
# in a program that runs one model: shorter ones would time what the other models threw out.
SAMPLE_NS = 2 * NS_PER_MS
OUTPUT = Path("local") / "kernels.json"


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


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="", help="only shapes whose label has this in it")
    parser.add_argument("--pattern", choices=["block", "unstructured"], help="only this one")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    if library_path() is None:
        sys.exit("the operator library was not built: is there a C++ compiler?")
    target = current_target(options.threads)
    print(target.label())
    patterns = [SparsityPattern(options.pattern)] if options.pattern else [
        SparsityPattern.BLOCK, SparsityPattern.UNSTRUCTURED
    ]  # fmt: skip
    settings = TimingSettings(rounds=options.rounds, patience=1, sample_ns=SAMPLE_NS)
    ratios: list[Ratio] = []
    for title, shapes in (("1x1, pairs", _pointwise()), ("3x3", _spatial())):
        chosen = [shape for shape in shapes if options.only in shape.label]
        if chosen:
            ratios += _bench(title, chosen, patterns, target, settings)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    document = {"target": target.label(), "ratios": [asdict(ratio) for ratio in ratios]}
    options.output.write_text(json.dumps(document, indent=1))
    print(f"written to {options.output}")


def _pointwise() -> list[Shape]:
    return [
        Shape(label=f"{a}<->{b} @{size}", layers=(_conv(a, b, size, 1), _conv(b, a, size, 1)))
        for a, b, size in POINTWISE
    ]


def _spatial() -> list[Shape]:
    return [Shape(label=f"{c} 3x3 @{s}", layers=(_conv(c, c, s, 3),)) for c, s in SPATIAL]


def _conv(in_channels: int, out_channels: int, size: int, kernel: int) -> OperatorSpec:
    return OperatorSpec(
        kind=OperatorKind.CONV,
        in_channels=in_channels,
        out_channels=out_channels,
        height=size,
        width=size,
        kernel=kernel,
        padding=kernel // 2,
        activation=Activation.RELU,
    )


def _bench(
    title: str,
    shapes: Sequence[Shape],
    patterns: Sequence[SparsityPattern],
    target: Target,
    settings: TimingSettings,
) -> list[Ratio]:
    columns = [(pattern, sparsity) for pattern in patterns for sparsity in SPARSITIES]
    head = "".join(f"{pattern.value:>14} {sparsity:4.0%}" for pattern, sparsity in columns)
    print(f"\n{title:16}{'dense us':>9}{head}")
    table: list[list[Ratio]] = []
    for shape in shapes:
        table.append(_measure(shape, columns, target, settings))
        cells = "".join(f"{r.ratio:8.2f} ({r.low:4.1f}-{r.high:4.1f})" for r in table[-1])
        print(f"{shape.label:16}{table[-1][0].dense_us:9.1f}{cells}", flush=True)
    means = [
        statistics.geometric_mean(row[index].ratio for row in table)
        for index in range(len(columns))
    ]
    print(f"{'geometric mean':25}" + "".join(f"{mean:8.2f}{'':12}" for mean in means))
    return [ratio for row in table for ratio in row]


def _measure(
    shape: Shape,
    columns: Sequence[tuple[SparsityPattern, float]],
    target: Target,
    settings: TimingSettings,
) -> list[Ratio]:
    runs = [_open(shape.layers, links, target) for links in (SHORT, LONG)]
    for pattern, sparsity in columns:
        layers = tuple(
            replace(layer, pattern=pattern, density=1.0 - sparsity) for layer in shape.layers
        )
        runs += [_open(layers, links, target) for links in (SHORT, LONG)]
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


def _ratio(label: str, column: tuple[SparsityPattern, float], dense: Cost, sparse: Cost) -> Ratio:
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


def _open(layers: Sequence[OperatorSpec], links: int, target: Target) -> Run:
    specs = list(layers) * links
    names = [INPUT, *(f"layer{index}" for index in range(len(specs)))]
    nodes = tuple(
        GraphNode(name=name, spec=spec, inputs=(source,))
        for (source, name), spec in zip(pairwise(names), specs, strict=True)
    )
    graph = NetworkGraph(input_shape=specs[0].in_shape, nodes=nodes)
    model = build_model(graph, random_weights(0), library=True)
    return _session(model.SerializeToString(), target)


def _session(model: bytes, target: Target) -> Run:
    options = session_options(target)
    register(options)
    return runner(onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]))


if __name__ == "__main__":
    main()
