"""Whole networks against DeepSparse, each in its own format: `make bench-deepsparse`.

DeepSparse runs in an environment of its own, which make sets up, and only to be evaluated, which
is what its licence allows. It reads the same networks as plain ONNX with the zeros in dense
initialisers. Processes take turns as in `networks.py`. It may choose its mask: a bar is held
against the faster of the block and the unstructured one. Figures stay on this machine.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx

from benchmarks.bars import DEEPSPARSE, Verdict, print_verdicts
from benchmarks.contenders import DENSE, SEED, Sparse, Workshop, choose, networks
from benchmarks.rounds import Contender, Outcome, ratio, run_in_turns
from latency.graph import NetworkGraph
from latency.lowering.build import build_model
from latency.lowering.weights import random_weights
from latency.operator import SparsityPattern
from latency.profiler.device import current_target
from search.space.sparsity import Sparsity, with_sparsity

OUTPUT = Path("local") / "deepsparse.json"
PYTHON = Path("local") / "deepsparse" / "bin" / "python"
PERCENTS = (90, 95)
PATTERNS = (SparsityPattern.BLOCK, SparsityPattern.UNSTRUCTURED)
RIVAL = "DeepSparse"
# The newest that it reads; the operators of these networks mean the same in both.
OPSET, IR_VERSION = 13, 7
AGREEMENT = 1e-3


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="one network, or all with this in their name")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    if not PYTHON.exists():
        sys.exit(f"{PYTHON} is missing: make bench-deepsparse sets it up")
    label = current_target(options.threads).label()
    print(label)
    found, verdicts = {}, []
    for name in choose(networks(), options.only):
        outcomes = _measure(networks()[name](), options.threads, options.rounds)
        _check_answers(name, outcomes)
        verdicts += _report(name, outcomes)
        found[name] = {form: asdict(outcome) for form, outcome in outcomes.items()}
    print_verdicts(verdicts)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({"target": label, "networks": found}, indent=1))
    print(f"written to {options.output}")


def _measure(graph: NetworkGraph, threads: int, rounds: int) -> dict[str, Outcome]:
    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(graph, Path(folder))
        ours = [Sparse(pattern=SparsityPattern.BLOCK, percent=percent) for percent in PERCENTS]
        rivals = [Sparse(pattern=p, percent=percent) for p in PATTERNS for percent in PERCENTS]
        contenders = [
            workshop.dense(threads),
            *(workshop.sparse(form, threads) for form in ours),
            _rival(DENSE, graph, Path(folder), threads),
            *(
                _rival(
                    form.label,
                    with_sparsity(
                        graph, Sparsity(pattern=form.pattern, density=1.0 - form.percent / 100)
                    ),
                    Path(folder),
                    threads,
                )
                for form in rivals
            ),
        ]
        return run_in_turns(contenders, rounds)


def _rival(form: str, graph: NetworkGraph, folder: Path, threads: int) -> Contender:
    model = build_model(graph, random_weights(SEED))
    model.opset_import[0].version = OPSET
    model.ir_version = IR_VERSION
    label = f"{RIVAL} {form}"
    path = folder / f"{label.replace(' ', '-')}.onnx"
    onnx.save(model, path)
    child = Path(__file__).with_name("deepsparse_child.py")
    # It would report its use over the network, and must not find packages of ours.
    program = ("env", "-u", "PYTHONPATH", "NM_DISABLE_ANALYTICS=1", str(PYTHON), "-P", str(child))
    return Contender(label=label, model=path, threads=threads, program=program)


def _check_answers(name: str, outcomes: dict[str, Outcome]) -> None:
    """Refuse to compare networks that answer differently.

    Raises:
        SystemExit: the answers differ.
    """
    for percent in PERCENTS:
        form = Sparse(pattern=SparsityPattern.BLOCK, percent=percent).label
        ours, theirs = (np.array(outcomes[n].outputs) for n in (form, f"{RIVAL} {form}"))
        error = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
        if not error <= AGREEMENT:
            raise SystemExit(f"{name}, {form}: the answers differ by {error:.1e}")


def _report(name: str, outcomes: dict[str, Outcome]) -> list[Verdict]:
    print(f"\n{name:30}{'ms':>9}{'over dense ORT':>19}")
    for label, outcome in outcomes.items():
        print(f"  {label:28}{outcome.ms:9.3f}{ratio(outcomes[DENSE], outcome)!s:>19}")
    verdicts = []
    for percent in PERCENTS:
        masks = [f"{RIVAL} {Sparse(pattern=p, percent=percent).label}" for p in PATTERNS]
        best = _fastest([outcomes[mask] for mask in masks])
        ours = outcomes[Sparse(pattern=SparsityPattern.BLOCK, percent=percent).label]
        value, bar = ratio(best, ours), DEEPSPARSE.get((name, percent))
        print(f"  {ours.label} over {best.label}: {value}")
        if bar is not None:
            verdicts.append(
                Verdict(
                    what=f"{name}, {ours.label} over {RIVAL}",
                    figure=value.value,
                    interval=(value.low, value.high),
                    bar=bar.bar,
                    stretch=bar.stretch,
                )
            )
    return verdicts


def _fastest(outcomes: Sequence[Outcome]) -> Outcome:
    return min(outcomes, key=lambda outcome: outcome.ms)


if __name__ == "__main__":
    main()
