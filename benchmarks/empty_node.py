"""What does a node of the operator library cost that has next to nothing to do?

The slope between a short and a long chain of such nodes, in fresh processes that take turns. One
node has one channel, one pixel and one weight; with two threads the library calls no other thread
for it. The other has as many blocks of output channels as make it share its work between the
threads of the session; with two threads its cost is mostly that of calling and waiting.
"""

import argparse
import json
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bars import (
    EMPTY_NODE_STRETCH_US,
    EMPTY_NODE_US,
    FORK_JOIN_US,
    Verdict,
    print_verdicts,
    verdict_documents,
)
from benchmarks.contenders import chain_model
from benchmarks.rounds import Contender, run_in_turns
from latency.operator import OperatorKind, OperatorSpec, SparsityPattern
from latency.profiler.device import current_target

OUTPUT = Path("local") / "empty_node.json"
SHORT, LONG = 32, 288
US_PER_MS = 1000


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one node costs, microseconds."""

    label: str
    threads: int
    us: float  # median over the rounds
    rounds_us: tuple[float, ...]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    label = current_target(1).label()
    print(label)
    small, shared = _node(1), _node(64)
    costs = [
        _measure("one weight", small, 1, options.rounds),
        _measure("one weight", small, 2, options.rounds),
        _measure("shared between threads", shared, 1, options.rounds),
        _measure("shared between threads", shared, 2, options.rounds),
    ]
    for cost in costs:
        each = " ".join(f"{us:.2f}" for us in cost.rounds_us)
        print(f"{cost.label:24}{cost.threads} thread(s){cost.us:8.2f} us   {each}")
    verdicts = [
        _verdict("empty node, one thread, us", costs[0].us, EMPTY_NODE_US),
        _verdict("fork and join, two threads, us", costs[3].us, FORK_JOIN_US),
    ]
    print_verdicts(verdicts)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "target": label,
        "nodes": [cost.__dict__ for cost in costs],
        "bars": verdict_documents(verdicts),
    }
    options.output.write_text(json.dumps(document, indent=1))
    print(f"written to {options.output}")


def _node(channels: int) -> OperatorSpec:
    """Return a 1x1 convolution of one pixel with one group of weights."""
    return OperatorSpec(
        kind=OperatorKind.CONV,
        in_channels=channels,
        out_channels=channels,
        height=1,
        width=1,
        pattern=SparsityPattern.BLOCK,
        density=1.0 / channels**2,  # rounds to no group, and one is kept at least
    )


def _measure(label: str, node: OperatorSpec, threads: int, rounds: int) -> Cost:
    with tempfile.TemporaryDirectory() as folder:
        chains = []
        for links in (SHORT, LONG):
            path = Path(folder) / f"{links}.onnx"
            path.write_bytes(chain_model(node, links))
            chains.append(Contender(label=str(links), model=path, library=True, threads=threads))
        outcomes = run_in_turns(chains, rounds)
    pairs = zip(outcomes[str(SHORT)].median_ms, outcomes[str(LONG)].median_ms, strict=True)
    slopes = tuple(US_PER_MS * (long - short) / (LONG - SHORT) for short, long in pairs)
    return Cost(label=label, threads=threads, us=statistics.median(slopes), rounds_us=slopes)


def _verdict(what: str, us: float, bar: float) -> Verdict:
    stretch = EMPTY_NODE_STRETCH_US if bar == EMPTY_NODE_US else None
    return Verdict(what=what, figure=us, bar=bar, stretch=stretch, at_most=True)


if __name__ == "__main__":
    main()
