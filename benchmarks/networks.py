"""Whole networks: the operator library against dense and int8 ONNX Runtime, and its own fallback.

Each model runs in a fresh process, the processes take turns (`rounds.py`), and every ratio has
the 95 % interval of its rounds. Memory is the peak of a process less that of one with an empty
session. Weights are random: what they are worth is for the search to find; time does not care.
"""

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.bars import (
    FALLBACK_OVER_DENSE,
    NETWORKS,
    Verdict,
    print_verdicts,
    verdict_documents,
)
from benchmarks.contenders import (
    CELLS,
    DENSE,
    EMPTY,
    FALLBACK,
    FALLBACK_SPARSITY,
    INT8,
    SPARSITIES,
    Sparse,
    Workshop,
    choose,
    networks,
)
from benchmarks.plot import plot_speed_up
from benchmarks.rounds import Contender, Outcome, Ratio, ratio, run_in_turns
from latency.kernels import library_path
from latency.operator import SparsityPattern
from latency.profiler.device import current_target
from latency.report.plots import Point

OUTPUT = Path("local") / "networks.json"
# Of the largest output; sums of thousands of products differ by their order.
AGREEMENT = 1e-3


@dataclass(frozen=True, kw_only=True)
class Result:
    """One network: what every form of it did."""

    network: str
    forms: tuple[Sparse, ...]
    outcomes: dict[str, Outcome]

    def ratio(self, label: str, over: str = DENSE) -> Ratio:
        """Return how many times as fast `label` is as `over`."""
        return ratio(self.outcomes[over], self.outcomes[label])

    def memory_mib(self, label: str) -> float:
        """Return the peak memory that the model itself needs, MiB."""
        return self.outcomes[label].peak_mib - self.outcomes[EMPTY].peak_mib


def main() -> None:
    """Measure, print, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="one network, or all with this in their name")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--unstructured", action="store_true", help="this pattern too")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    if library_path() is None:
        sys.exit("the operator library was not built: is there a C++ compiler?")
    logging.disable(logging.WARNING)  # the quantiser's advice on models that people trained
    target = current_target(options.threads)
    print(target.label())
    patterns = [SparsityPattern.BLOCK]
    if options.unstructured:
        patterns.append(SparsityPattern.UNSTRUCTURED)
    forms = [Sparse(pattern=p, percent=percent) for p in patterns for percent in SPARSITIES]
    results = [
        _measure(name, forms, options.threads, options.rounds)
        for name in choose(networks(), options.only)
    ]
    verdicts = [verdict for result in results for verdict in _verdicts(result)]
    print_verdicts(verdicts)
    _write(options.output, target.label(), results, verdicts)


def _measure(name: str, forms: Sequence[Sparse], threads: int, rounds: int) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        graph, every_layer = networks()[name](), name.startswith(CELLS)
        workshop = Workshop(graph, Path(folder), every_layer=every_layer)
        contenders = [
            workshop.dense(threads),
            *(workshop.sparse(form, threads) for form in forms),
            workshop.int8(threads),
            workshop.fallback(threads),
            workshop.empty(threads),
        ]
        outcomes = run_in_turns(contenders, rounds)
    result = Result(network=name, forms=tuple(forms), outcomes=outcomes)
    _check_answers(result)
    _print(result, contenders)
    return result


def _check_answers(result: Result) -> None:
    """Refuse figures of a library that answers something else than its fallback.

    Raises:
        SystemExit: the answers differ.
    """
    form = Sparse(pattern=SparsityPattern.BLOCK, percent=FALLBACK_SPARSITY)
    ours, standard = (np.array(result.outcomes[n].outputs) for n in (form.label, FALLBACK))
    error = float(np.abs(ours - standard).max() / np.abs(standard).max())
    if not error <= AGREEMENT:
        raise SystemExit(f"{result.network}: library and fallback differ by {error:.1e}")


def _print(result: Result, contenders: Sequence[Contender]) -> None:
    print(f"\n{result.network:20}{'ms':>9}{'over dense':>19}{'over int8':>19}{'memory MiB':>12}")
    for contender in contenders[:-1]:
        label = contender.label
        print(
            f"  {label:18}{result.outcomes[label].ms:9.3f}{result.ratio(label)!s:>19}"
            f"{result.ratio(label, INT8)!s:>19}{result.memory_mib(label):12.1f}",
            flush=True,
        )


def _verdicts(result: Result) -> list[Verdict]:
    found = []
    for (network, label, over), bar in NETWORKS.items():
        if network == result.network:
            value = result.ratio(label, over)
            found.append(
                Verdict(
                    what=f"{network}, {label} over {over}",
                    figure=value.value,
                    interval=(value.low, value.high),
                    bar=bar.bar,
                    stretch=bar.stretch,
                )
            )
    fallback = result.ratio(FALLBACK)
    found.append(
        Verdict(
            what=f"{result.network}, fallback over dense",
            figure=fallback.value,
            interval=(fallback.low, fallback.high),
            bar=FALLBACK_OVER_DENSE,
        )
    )
    memory = max(result.memory_mib(form.label) for form in result.forms)
    found.append(
        Verdict(
            what=f"{result.network}, peak memory over dense",
            figure=memory / result.memory_mib(DENSE),
            bar=1.0,
            at_most=True,
        )
    )
    return found


def _points(result: Result, pattern: SparsityPattern) -> list[Point]:
    return [
        Point(percent=form.percent, ratio=found.value, low=found.low, high=found.high)
        for form in result.forms
        if form.pattern is pattern
        for found in (result.ratio(form.label),)
    ]


def _write(
    output: Path, label: str, results: Sequence[Result], verdicts: Sequence[Verdict]
) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "target": label,
        "networks": [asdict(result) for result in results],
        "bars": verdict_documents(verdicts),
    }
    output.write_text(json.dumps(document, indent=1))
    picture = output.with_suffix(".svg")
    lines = {
        f"{result.network}, {pattern.value}": points
        for result in results
        for pattern in (SparsityPattern.BLOCK, SparsityPattern.UNSTRUCTURED)
        if (points := _points(result, pattern))
    }
    plot_speed_up(lines, f"Whole networks, {label}", picture)
    print(f"written to {output} and {picture}")


if __name__ == "__main__":
    main()
