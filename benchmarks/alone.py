"""One model in a process of its own: `python -m benchmarks.alone MODEL`; prints one JSON line.

What a user sees who runs one network: nothing else is in the caches, no other session's threads
wait for work. The peak memory is that of the whole process, after loading and running.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import onnxruntime

from benchmarks.rounds import Answer
from latency.kernels import register
from latency.profiler.device import current_target
from latency.profiler.session import random_feed, session_options
from latency.units import NS_PER_MS

WARMUP_NS = 150 * NS_PER_MS
TIMED_NS = 350 * NS_PER_MS
MIN_RUNS = 10
SHOWN_OUTPUTS = 100  # enough to see whether two models answer alike


def main() -> None:
    """Load, warm up, time, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--library", action="store_true", help="load the operator library")
    options = parser.parse_args()
    settings = session_options(current_target(options.threads))
    if options.library and not register(settings):
        raise SystemExit("the operator library was not built: is there a C++ compiler?")
    session = onnxruntime.InferenceSession(
        str(options.model), settings, providers=["CPUExecutionProvider"]
    )
    feed = random_feed(session)
    outputs = session.run(None, feed)[0].reshape(-1)[:SHOWN_OUTPUTS]
    _times_ns(lambda: session.run(None, feed), WARMUP_NS)
    times = _times_ns(lambda: session.run(None, feed), TIMED_NS)
    answer = Answer(
        median_ms=statistics.median(times) / NS_PER_MS,
        fastest_ms=min(times) / NS_PER_MS,
        runs=len(times),
        peak_kib=peak_kib(),
        outputs=outputs.tolist(),
    )
    print(json.dumps(answer))


def peak_kib(status: Path = Path("/proc/self/status")) -> int:
    """Return the peak resident memory of this process, KiB.

    Not `getrusage`: its figure survives exec, so a child inherits that of its parent.
    """
    lines = status.read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])


def _times_ns(run: Callable[[], object], duration_ns: int) -> list[int]:
    """Return the time of each run until `duration_ns` have passed."""
    times: list[int] = []
    end = time.perf_counter_ns() + duration_ns
    while len(times) < MIN_RUNS or time.perf_counter_ns() < end:
        start = time.perf_counter_ns()
        run()
        times.append(time.perf_counter_ns() - start)
    return times


if __name__ == "__main__":
    main()
