"""Compare seeded random problems in a process of its own, with a given instruction set."""

import os
import sys

import numpy as np

from latency.lowering.op_types import ACTIVATION_SUFFIXES
from tests.latency.kernels.problems import Problem, assert_close, run
from tests.latency.kernels.reference import expected


def random_problem(rng: np.random.Generator) -> Problem:
    kernel = int(rng.choice([1, 3, 5]))
    pads = tuple(int(pad) for pad in rng.integers(kernel // 2, kernel + 1, size=4))
    computed = None if rng.integers(4) else 0.5
    return Problem(
        out_channels=int(rng.integers(1, 12)),
        in_channels=int(rng.integers(1, 6)),
        size=(int(rng.integers(kernel, 30)), int(rng.integers(kernel, 30))),
        kernel=(kernel, kernel),
        strides=(int(rng.integers(1, 4)), int(rng.integers(1, 4))),
        pads=(pads[0], pads[1], pads[2], pads[3]),
        batch=int(rng.integers(1, 3)),
        rows=int(rng.choice([1, 4])),
        density=float(rng.choice([0.05, 0.3, 1.0])),
        relu_input=bool(rng.integers(2)),
        residual=computed is None and bool(rng.integers(2)),
        activation=str(rng.choice(ACTIVATION_SUFFIXES)),
        computed=computed,
        seed=int(rng.integers(1000)),
    )


def main(count: int = 60) -> None:
    os.environ["EDGEWRIGHT_KERNELS_SET"] = sys.argv[1]
    rng = np.random.default_rng(0)
    for _ in range(count):
        problem = random_problem(rng)
        feed = problem.feed()
        assert_close(run(problem, feed, threads=2), expected(problem, feed))
    sys.stdout.write(f"{count} problems\n")


if __name__ == "__main__":
    main()
