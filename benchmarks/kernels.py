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
from dataclasses import asdict
from pathlib import Path

from benchmarks.bars import OPERATORS, Verdict, print_verdicts, verdict_documents
from benchmarks.limits import Use, print_uses, uses
from benchmarks.marginal import Column, Ratio, Shape, measure_ratios
from benchmarks.plot import plot_speed_up
from latency.kernels import library_path
from latency.operator import Activation, OperatorKind, OperatorSpec, SparsityPattern
from latency.profiler.device import current_target
from latency.profiler.timing import TimingSettings
from latency.report.plots import Point
from latency.target import Target
from latency.units import NS_PER_MS

SPARSITIES = (0.8, 0.9, 0.95)
# (channels, channels between, size): a pair of layers there and back.
POINTWISE = (
    (64, 384, 14), (96, 576, 14), (160, 960, 7), (32, 192, 28),
    (24, 144, 56), (128, 128, 16), (256, 256, 8), (64, 64, 32),
)  # fmt: skip
# (channels, size): single layers of 3x3 with padding.
SPATIAL = ((64, 56), (128, 28), (256, 14), (512, 7), (64, 32), (128, 16), (256, 8))
# Long enough that most runs of a sample find their own data in the second-level cache, as they do
# in a program that runs one model: shorter ones would time what the other models threw out.
SAMPLE_NS = 2 * NS_PER_MS
OUTPUT = Path("local") / "kernels.json"

Table = list[list[Ratio]]  # a row per shape, in it a ratio per column


def main() -> None:
    """Measure, print, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="", help="only shapes whose label has this in it")
    parser.add_argument("--pattern", choices=["block", "unstructured"], help="only this one")
    parser.add_argument("--limits", action="store_true", help="show what limits each operator")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    if library_path() is None:
        sys.exit("the operator library was not built: is there a C++ compiler?")
    target = current_target(options.threads)
    print(target.label())
    patterns = [SparsityPattern(options.pattern)] if options.pattern else [
        SparsityPattern.BLOCK, SparsityPattern.UNSTRUCTURED
    ]  # fmt: skip
    columns = [(pattern, sparsity) for pattern in patterns for sparsity in SPARSITIES]
    settings = TimingSettings(rounds=options.rounds, patience=1, sample_ns=SAMPLE_NS)
    tables: dict[str, Table] = {}
    limits: list[Use] = []
    for title, shapes in (("1x1, pairs", _pointwise()), ("3x3", _spatial())):
        chosen = [shape for shape in shapes if options.only in shape.label]
        if chosen:
            tables[title] = _bench(title, chosen, columns, target, settings)
            limits += uses(chosen, tables[title], target) if options.limits else []
    if limits:
        print_uses(limits)
    verdicts = _verdicts(tables)
    if not options.only:
        print_verdicts(verdicts)
    _write(options.output, target.label(), tables, limits, verdicts)


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
    columns: Sequence[Column],
    target: Target,
    settings: TimingSettings,
) -> Table:
    head = "".join(f"{pattern.value:>14} {sparsity:4.0%}" for pattern, sparsity in columns)
    print(f"\n{title:16}{'dense us':>9}{head}")
    table: Table = []
    for shape in shapes:
        table.append(measure_ratios(shape, columns, target, settings))
        cells = "".join(f"{r.ratio:8.2f} ({r.low:4.1f}-{r.high:4.1f})" for r in table[-1])
        print(f"{shape.label:16}{table[-1][0].dense_us:9.1f}{cells}", flush=True)
    print(f"{'geometric mean':25}" + "".join(f"{_mean(c):8.2f}{'':12}" for c in _columns(table)))
    return table


def _columns(table: Table) -> list[tuple[Ratio, ...]]:
    return list(zip(*table, strict=True))


def _mean(ratios: Sequence[Ratio]) -> float:
    return statistics.geometric_mean(ratio.ratio for ratio in ratios)


def _percent(ratio: Ratio) -> int:
    return round(100 * ratio.sparsity)


def _verdicts(tables: dict[str, Table]) -> list[Verdict]:
    found = []
    for title, table in tables.items():
        for ratios in _columns(table):
            pattern, percent = ratios[0].pattern, _percent(ratios[0])
            bar = OPERATORS.get((title, pattern, percent))
            if bar is not None:
                what = f"{title}, {pattern} {percent} %, mean of {len(ratios)}"
                figure = _mean(ratios)
                found.append(Verdict(what=what, figure=figure, bar=bar.bar, stretch=bar.stretch))
    return found


def _lines(tables: dict[str, Table]) -> dict[str, list[Point]]:
    """Return the means over the shapes, between the worst and the best of them."""
    lines: dict[str, list[Point]] = {}
    for title, table in tables.items():
        for ratios in _columns(table):
            each = [ratio.ratio for ratio in ratios]
            point = Point(
                percent=_percent(ratios[0]), ratio=_mean(ratios), low=min(each), high=max(each)
            )
            lines.setdefault(f"{title}, {ratios[0].pattern}", []).append(point)
    return lines


def _write(
    output: Path,
    label: str,
    tables: dict[str, Table],
    limits: Sequence[Use],
    verdicts: Sequence[Verdict],
) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    ratios = [ratio for table in tables.values() for row in table for ratio in row]
    document = {
        "target": label,
        "ratios": [asdict(ratio) for ratio in ratios],
        "limits": [asdict(use) for use in limits],
        "bars": verdict_documents(verdicts),
    }
    output.write_text(json.dumps(document, indent=1))
    picture = output.with_suffix(".svg")
    plot_speed_up(_lines(tables), f"Operators (bars: worst to best shape), {label}", picture)
    print(f"written to {output} and {picture}")


if __name__ == "__main__":
    main()
