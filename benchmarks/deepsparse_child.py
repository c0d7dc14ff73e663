"""One model in DeepSparse, in a process of DeepSparse's own environment; prints one JSON line.

Run by its path, with nothing of this project importable: see `deepsparse.py`, and `alone.py`, of
which this is the counterpart.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from deepsparse import Engine

WARMUP_NS = 300_000_000
TIMED_NS = 500_000_000
MIN_RUNS = 10
SHOWN_OUTPUTS = 100
NS_PER_MS = 1_000_000


def main() -> None:
    """Load, warm up, time, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    engine = Engine(model=options.model, batch_size=1, num_cores=options.threads)
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal(shape, dtype=np.float32) for shape in engine.input_shapes]
    outputs = engine.run(inputs)[0].reshape(-1)[:SHOWN_OUTPUTS]
    _times_ns(lambda: engine.run(inputs), WARMUP_NS)
    times = _times_ns(lambda: engine.run(inputs), TIMED_NS)
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    answer = {
        "median_ms": statistics.median(times) / NS_PER_MS,
        "fastest_ms": min(times) / NS_PER_MS,
        "runs": len(times),
        "peak_kib": int(next(line for line in status if line.startswith("VmHWM:")).split()[1]),
        "outputs": outputs.tolist(),
    }
    print(json.dumps(answer))


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
