"""Two threads over one: what a second core brings to the operator library.

Every run has a process of its own, because the waiting threads of two sessions in one process
disturb each other. Layers are chains of one 3x3 convolution, each link over 100 us with one thread.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.bars import LAYERS, TWO_THREADS, Verdict, print_verdicts, verdict_documents
from benchmarks.contenders import Sparse, Workshop, choose, layer_chains, networks
from benchmarks.rounds import Outcome, Ratio, ratio, run_in_turns
from latency.graph import NetworkGraph
from latency.operator import SparsityPattern
from latency.profiler.device import current_target

OUTPUT = Path("local") / "two_threads.json"
NETWORKS = (("resnet-18", 90), ("mobilenet-v2", 95))
LAYER_PERCENT = 90


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One model with one and with two threads."""

    name: str
    layer: bool
    one: Outcome
    two: Outcome

    @property
    def ratio(self) -> Ratio:
        """How many times as fast two threads are."""
        return ratio(self.one, self.two)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="one model, or all with this in their name")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    label = current_target(2).label()
    print(f"{label}\n\n{'model':20}{'one, ms':>9}{'two, ms':>9}{'ratio':>19}  processes of two, ms")
    models = {name: (graph, percent) for name, graph, percent in _models()}
    pairs = [_measure(name, *models[name], options.rounds) for name in choose(models, options.only)]
    verdicts = _verdicts(pairs)
    print_verdicts(verdicts)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "target": label,
        "pairs": [asdict(pair) for pair in pairs],
        "bars": verdict_documents(verdicts),
    }
    options.output.write_text(json.dumps(document, indent=1))
    print(f"written to {options.output}")


def _models() -> Iterator[tuple[str, NetworkGraph, int]]:
    for name, graph in layer_chains().items():
        yield name, graph, LAYER_PERCENT
    for name, percent in NETWORKS:
        yield name, networks()[name](), percent


def _measure(name: str, graph: NetworkGraph, percent: int, rounds: int) -> Pair:
    form = Sparse(pattern=SparsityPattern.BLOCK, percent=percent)
    with tempfile.TemporaryDirectory() as folder:
        sparse = Workshop(graph, Path(folder)).sparse(form, threads=1)
        turns = [replace(sparse, label=str(n), threads=n) for n in (1, 2)]
        outcomes = run_in_turns(turns, rounds)
    layer = name in layer_chains()
    pair = Pair(name=name, layer=layer, one=outcomes["1"], two=outcomes["2"])
    each = " ".join(f"{ms:.2f}" for ms in pair.two.median_ms)
    print(f"{name:20}{pair.one.ms:9.3f}{pair.two.ms:9.3f}{pair.ratio!s:>19}  {each}", flush=True)
    return pair


def _verdicts(pairs: Sequence[Pair]) -> list[Verdict]:
    found = []
    layers = [pair.ratio.value for pair in pairs if pair.layer]
    if layers:
        bar = TWO_THREADS[LAYERS]
        figure = statistics.geometric_mean(layers)
        what = f"two threads over one, {len(layers)} layers, geometric mean"
        found.append(Verdict(what=what, figure=figure, bar=bar.bar, stretch=bar.stretch))
    for pair in pairs:
        if pair.layer:
            continue
        bar, value = TWO_THREADS[pair.name], pair.ratio
        found.append(
            Verdict(
                what=f"two threads over one, {pair.name}",
                figure=value.value,
                interval=(value.low, value.high),
                bar=bar.bar,
                stretch=bar.stretch,
            )
        )
    return found


if __name__ == "__main__":
    main()
