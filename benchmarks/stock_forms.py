"""What zeros are worth in stock ONNX Runtime: `python -m benchmarks.stock_forms`.

Every figure is a ratio of marginal costs, dense over the form, of micro-models as the profiler
measures them, all forms of one layer in turns in one run. The form is what an export builds: cut
kernels, and balanced blocks as a copy of channels and a grouped convolution.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace

from latency.host_lock import measuring
from latency.lowering.build import build_model
from latency.lowering.stock_forms import LAYOUT_CHANNELS
from latency.lowering.weights import random_weights
from latency.operator import (
    BALANCED_FILTERS,
    Activation,
    OperatorKind,
    OperatorSpec,
    SparsityPattern,
)
from latency.profiler.device import current_target
from latency.profiler.micro_models import MicroModels, micro_models
from latency.profiler.reference import reference_model
from latency.profiler.session import open_session, runner
from latency.profiler.timing import Run, Timed, TimingSettings, time_in_turns
from latency.target import STOCK_LIBRARY, Target
from latency.units import NS_PER_MS, NS_PER_US

# Channels, kernel and size of each layer.
LAYERS = ((256, 3, 14), (128, 3, 28), (64, 3, 32), (512, 1, 7), (256, 1, 14), (64, 1, 32))
SPARSITIES = (0.5, 0.75, 0.9)
CUTS = {"2x2": (1, 1, 0, 0), "2x3": (1, 0, 0, 0), "1x3": (1, 0, 1, 0), "3x1": (0, 1, 0, 1)}
COPIES = 3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="", help="only layers whose label has this in it")
    options = parser.parse_args()
    target = replace(current_target(), operator_library=STOCK_LIBRARY)
    print(target.label())
    settings = TimingSettings(rounds=options.rounds, patience=1, sample_ns=NS_PER_MS)
    for layer in _layers():
        if options.only in layer.label():
            _bench(layer, target, settings)


def _layers() -> Iterator[OperatorSpec]:
    for channels, kernel, size in LAYERS:
        dense = OperatorSpec(
            kind=OperatorKind.CONV,
            in_channels=channels,
            out_channels=channels,
            height=size,
            width=size,
            kernel=kernel,
            padding=kernel // 2,
            activation=Activation.RELU,
        )
        yield dense
        if kernel > 1:
            yield replace(dense, groups=channels)


def _forms(dense: OperatorSpec) -> Iterator[tuple[str, OperatorSpec]]:
    if dense.kernel > 1:
        yield from ((name, replace(dense, cut=cut)) for name, cut in CUTS.items())
    if dense.groups > 1:
        return
    for filters in BALANCED_FILTERS:
        for sparsity in SPARSITIES:
            kept = max(1, round(dense.in_channels * (1 - sparsity)))
            rounded = -(-kept // LAYOUT_CHANNELS) * LAYOUT_CHANNELS
            for count in sorted({kept, rounded}):
                spec = replace(
                    dense,
                    pattern=SparsityPattern.BALANCED_BLOCK,
                    density=count / dense.in_channels,
                    block_filters=filters,
                )
                yield f"B{filters} {sparsity:.0%} ({count} ch)", spec


def _bench(dense: OperatorSpec, target: Target, settings: TimingSettings) -> None:
    forms = dict(_forms(dense))
    models = [micro_models(spec, COPIES) for spec in (dense, *forms.values())]
    runs = [run for model in models for run in _open(model, target)]
    with measuring():
        timed, _ = time_in_turns(runs, _run(reference_model(), target), settings)
    costs = [_cost(*pair) for pair in zip(timed[::2], timed[1::2], strict=True)]
    print(f"\n{dense.label()}: {costs[0] / NS_PER_US:.1f} us")
    ratios = zip(forms, costs[1:], strict=True)
    print("  " + ", ".join(f"{name} {costs[0] / cost:.2f}" for name, cost in ratios), flush=True)


def _cost(short: Timed, long: Timed) -> float:
    """Return nanoseconds of one more operator; other work only ever adds time."""
    return (min(long.samples_ns) - min(short.samples_ns)) / COPIES


def _open(models: MicroModels, target: Target) -> Sequence[Run]:
    graphs = (models.short, models.long)
    built = [build_model(graph, random_weights(0)).SerializeToString() for graph in graphs]
    return [_run(model, target) for model in built]


def _run(model: bytes, target: Target) -> Run:
    return runner(open_session(model, target, micro_model=True))


if __name__ == "__main__":
    main()
