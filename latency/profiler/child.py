"""The measuring child: `python -m latency.profiler.child` reads requests, writes answers, ends.

A model that crashes the runtime ends this process and not the agent. Requests come on stdin, one
JSON line each; end of input ends the process, so nothing is left when the agent dies.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from latency.codec import decode, encode
from latency.host_lock import measuring
from latency.profiler.affinity import pin
from latency.profiler.child_messages import ChildAnswer, ChildRequest
from latency.profiler.conditions import read_conditions
from latency.profiler.limits import limit_this_process
from latency.profiler.operators import OperatorProfiler
from latency.profiler.random_model import random_model
from latency.profiler.reference import reference_model
from latency.profiler.session import open_session, runner
from latency.profiler.timing import TimingSettings, time_in_turns
from latency.target import STOCK_LIBRARY, Target
from latency.units import NS_PER_MS

# A network runs longer than a micro-model and is warmed up to the speed that a user sees.
_NETWORK_WARMUP_NS = 30 * NS_PER_MS
_MOST_ROUNDS = 16  # times the rounds asked for: then an operator is unstable


class MeasuringChild:
    """Answers requests; keeps the operator profilers between them."""

    def __init__(self) -> None:
        self._profilers: dict[Target, OperatorProfiler] = {}

    def answer(self, request: ChildRequest) -> ChildAnswer:
        """Return the samples, or the reason why the model cannot be measured."""
        try:
            pin(request.target)
            if request.graph is not None or request.model_path:
                return _network(request)
            return self._operator(request)
        except MemoryError:
            return ChildAnswer(error="out of memory: the model wants more than this machine gives")
        except Exception as error:  # noqa: BLE001 - the runtime's classes have no common base
            return ChildAnswer(error=str(error) or type(error).__name__)

    def _operator(self, request: ChildRequest) -> ChildAnswer:
        profiler = self._profilers.get(request.target)
        if profiler is None:
            profiler = self._profilers[request.target] = OperatorProfiler(request.target)
        settings = TimingSettings(
            rounds=request.rounds,
            most_rounds=_MOST_ROUNDS * request.rounds,
            fastest_ns=_fastest(request),
            patience=request.patience,
        )
        if request.operator is None:
            reference_ns = profiler.measure_reference(settings)
            return ChildAnswer(reference_ns=reference_ns, conditions=read_conditions())
        measured = profiler.measure(request.operator, settings)
        # Read while the core is still at work: an idle one lowers its clock.
        return ChildAnswer(operator=measured, conditions=read_conditions())


def _network(request: ChildRequest) -> ChildAnswer:
    """Time a whole network as a user runs it: one run a sample, interleaved with the reference."""
    model = _model_of(request)
    networks = {"network": runner(open_session(model, request.target))}
    if request.rivals.dense_parent is not None:
        dense = random_model(request.rivals.dense_parent)
        networks["dense parent"] = runner(open_session(dense, request.target))
    if request.rivals.without_library:
        stock = replace(request.target, operator_library=STOCK_LIBRARY)
        networks["without library"] = runner(open_session(model, stock))
    reference = runner(open_session(reference_model(), request.target))
    settings = TimingSettings(
        rounds=request.rounds,
        sample_ns=1,
        warmup_ns=_NETWORK_WARMUP_NS,
        fastest_ns=_fastest(request),
        patience=request.patience,
    )
    with measuring():
        timed, beside = time_in_turns(list(networks.values()), reference, settings)
    samples = {name: found.samples_ns for name, found in zip(networks, timed, strict=True)}
    return ChildAnswer(
        network_ns=samples["network"],
        reference_ns=beside.samples_ns,
        dense_parent_ns=samples.get("dense parent", ()),
        without_library_ns=samples.get("without library", ()),
    )


def _fastest(request: ChildRequest) -> float:
    known = request.fastest_reference_ns
    return float("inf") if known is None else known


def _model_of(request: ChildRequest) -> bytes:
    if request.graph is None:
        return Path(request.model_path).read_bytes()
    return random_model(request.graph)


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer every line of `requests` with a line of `answers`."""
    child = MeasuringChild()
    for line in requests:
        answers.write(encode(child.answer(decode(line, ChildRequest))) + b"\n")
        answers.flush()


def main() -> None:
    """Serve stdin. Whatever a library prints goes to stderr, so that answers stay clean."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    limit_this_process()
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
