"""How many times as fast a network is as a rival that was timed in the same processes."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from latency.estimate.quantile import t_quantile_95


@dataclass(frozen=True, kw_only=True)
class SpeedUp:
    """A ratio of times, above 1 where the network is faster, with its 95 % interval."""

    ratio: float
    low: float
    high: float
    processes: int


def speed_up(
    network_ns: Sequence[Sequence[int]], rival_ns: Sequence[Sequence[int]]
) -> SpeedUp | None:
    """Return the geometric mean over processes of the ratio of medians, or None without samples.

    Both were timed run by run in turns, so what slows a process slows both. The interval is
    Student's, of the logarithms of the ratios; with one process it is unbounded.

    Args:
        network_ns: samples of each process.
        rival_ns: samples of the rival in the same processes.

    Raises:
        ValueError: the numbers of processes differ.
    """
    logs = [
        math.log(statistics.median(rival) / statistics.median(network))
        for network, rival in zip(network_ns, rival_ns, strict=True)
    ]
    if not logs:
        return None
    mean = statistics.fmean(logs)
    half = math.inf
    if len(logs) > 1:
        half = t_quantile_95(len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    return SpeedUp(
        ratio=math.exp(mean),
        low=math.exp(mean - half),
        high=math.exp(mean + half),
        processes=len(logs),
    )
