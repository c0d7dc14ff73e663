"""Damaged nodes of every operator, in child processes: `make fuzz-kernels`.

Case number N of a seed is the same on every machine, so a crash is found again with
`python -m tests.latency.kernels.fuzz --seed SEED --begin N --end N+1`.
"""

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass

import numpy as np
import onnxruntime

from latency.kernels import register
from tests.latency.kernels.damage import damaged
from tests.latency.kernels.nodes import NODE, Node, correct_node, registered_op_types
from tests.latency.kernels.problems import open_session

CASES_A_PROCESS = 150


@dataclass(frozen=True)
class Outcome:
    """What became of one case."""

    number: int
    op_type: str
    message: str  # of the error, or "ran"

    @property
    def is_refused(self) -> bool:
        return self.message != "ran"


def run_node(node: Node) -> str:
    """Return the message of the error, or "ran"."""
    try:
        open_session(node.model()).run(None, node.feeds())
    except Exception as error:  # noqa: BLE001 -- the runtime has no base class of its own
        return str(error) or repr(error)
    return "ran"


def make_case(seed: int, number: int, op_types: list[str]) -> Node:
    """Return a damaged node; consecutive numbers go through the operators."""
    rng = np.random.default_rng([seed, number])
    return damaged(correct_node(op_types[number % len(op_types)], rng), rng)


def run_cases(seed: int, begin: int, end: int) -> None:
    """Run cases in this process and write a line before and one after each."""
    register(onnxruntime.SessionOptions())
    op_types = registered_op_types()
    for number in range(begin, end):
        node = make_case(seed, number, op_types)
        sys.stdout.write(json.dumps([number, node.op_type]) + "\n")
        sys.stdout.flush()
        sys.stdout.write(json.dumps(run_node(node)) + "\n")


def run_child(seed: int, begin: int, end: int) -> list[Outcome]:
    """Return the outcomes of cases that ran in a process of their own.

    Raises:
        AssertionError: the process died, with the number of the case; or an error did not name
            the node.
    """
    arguments = ["--seed", str(seed), "--begin", str(begin), "--end", str(end)]
    command = [sys.executable, "-m", "tests.latency.kernels.fuzz", *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in answer.stdout.splitlines()]
    assert answer.returncode == 0, (
        f"seed {seed}: died with {answer.returncode} in case {lines[-1] if lines else begin}:\n"
        + answer.stderr[:4000]
    )
    outcomes = [
        Outcome(number, op_type, message)
        for (number, op_type), message in zip(lines[::2], lines[1::2], strict=True)
    ]
    for outcome in outcomes:
        assert not outcome.is_refused or NODE in outcome.message, outcome
    return outcomes


def fuzz(seed: int, seconds: float) -> None:
    """Run children until the time is over, and print what became of each operator's cases."""
    deadline = time.perf_counter() + seconds
    ran: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    begin = 0
    while time.perf_counter() < deadline:
        for outcome in run_child(seed, begin, begin + CASES_A_PROCESS):
            (refused if outcome.is_refused else ran)[outcome.op_type] += 1
        begin += CASES_A_PROCESS
    for op_type in sorted(ran | refused):
        sys.stdout.write(f"{op_type}: {refused[op_type]} refused, {ran[op_type]} ran\n")
    sys.stdout.write(
        f"seed {seed}: {begin} damaged nodes, no crash, every refusal names its node\n"
    )


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--begin", type=int)
    parser.add_argument("--end", type=int)
    arguments = parser.parse_args()
    if arguments.begin is None:
        fuzz(arguments.seed, arguments.seconds)
    else:
        run_cases(arguments.seed, arguments.begin, arguments.end)


if __name__ == "__main__":
    main()
