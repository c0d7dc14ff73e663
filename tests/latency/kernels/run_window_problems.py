"""Compare seeded window problems in a process of its own, with a given instruction set."""

import os
import sys

import numpy as np

from tests.latency.kernels.problems import assert_close
from tests.latency.kernels.window_problems import (
    DEPTHWISE,
    WINDOW_POOLS,
    WindowProblem,
    expected_windows,
    fits,
    run_window,
)


def random_problem(rng: np.random.Generator) -> WindowProblem:
    kernel, stride, dilation = (
        int(rng.integers(low, high)) for low, high in ((2, 6), (1, 4), (1, 3))
    )
    top, left, bottom, right = (int(pad) for pad in rng.integers(0, kernel, size=4))
    return WindowProblem(
        op_type=str(rng.choice(DEPTHWISE + 3 * WINDOW_POOLS)),
        channels=int(rng.integers(1, 36)),
        size=(int(rng.integers(1, 40)), int(rng.choice([1, 2, 4, 7, 8, 13, 14, 16, 28, 33]))),
        kernel=(kernel, kernel),
        strides=(stride, stride),
        dilations=(dilation, dilation),
        pads=(top, left, bottom, right),
        batch=int(rng.integers(1, 3)),
        seed=int(rng.integers(1000)),
    )


def main(count: int = 150) -> None:
    os.environ["EDGEWRIGHT_KERNELS_SET"] = sys.argv[1]
    rng = np.random.default_rng(0)
    done = 0
    while done < count:
        problem = random_problem(rng)
        if fits(problem):
            image = problem.image()
            assert_close(run_window(problem, image, threads=2), expected_windows(problem, image))
            done += 1
    sys.stdout.write(f"{count} problems\n")


if __name__ == "__main__":
    main()
