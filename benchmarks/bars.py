"""What the operator library is meant to reach, as data, and how a figure stands to it.

A bar was set from prototypes on one kind of host (x86-64, AVX-512 at full width); the stretch is
the aim. All are ratios of one interleaved run, except the cost of an empty node.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.contenders import DENSE, INT8
from latency.kernels.library import instruction_set

SET_ON = "kAvx512"  # the instruction set that all bars were set on


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A ratio to reach."""

    bar: float
    stretch: float


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A measured figure beside its bar. Lower is better where `at_most`."""

    what: str
    figure: float
    bar: float
    stretch: float | None = None
    at_most: bool = False
    interval: tuple[float, float] | None = None  # 95 %

    @property
    def word(self) -> str:
        """Return stretch, met or missed."""
        sign = -1 if self.at_most else 1
        if self.stretch is not None and sign * self.figure >= sign * self.stretch:
            return "stretch"
        return "met" if sign * self.figure >= sign * self.bar else "missed"


# (network, faster form, slower form) -> bar.
NETWORKS: dict[tuple[str, str, str], Bar] = {
    ("mobilenet-v2", "block 95 %", DENSE): Bar(bar=4.8, stretch=5.5),
    ("mobilenet-v2", "block 90 %", DENSE): Bar(bar=4.2, stretch=4.8),
    ("mobilenet-v2", "block 95 %", INT8): Bar(bar=2.2, stretch=2.6),
    ("mobilenet-v2", "block 90 %", INT8): Bar(bar=1.9, stretch=2.2),
    ("mobilenet-v2-cifar", "block 95 %", DENSE): Bar(bar=5.0, stretch=6.0),
    ("resnet-18", "block 90 %", DENSE): Bar(bar=5.0, stretch=5.5),
    ("resnet-18", "block 90 %", INT8): Bar(bar=1.5, stretch=1.7),
    ("resnet-18-cifar", "block 90 %", DENSE): Bar(bar=7.5, stretch=9.0),
    ("dass-90", "block 90 %", DENSE): Bar(bar=3.0, stretch=4.0),
}

# (operator, pattern, percent removed) -> bar of the geometric mean over the shapes.
OPERATORS: dict[tuple[str, str, int], Bar] = {
    ("1x1, pairs", "block", 80): Bar(bar=4.2, stretch=4.6),
    ("1x1, pairs", "block", 90): Bar(bar=7.0, stretch=8.0),
    ("1x1, pairs", "block", 95): Bar(bar=10.5, stretch=12.0),
    ("1x1, pairs", "unstructured", 80): Bar(bar=2.2, stretch=2.5),
    ("1x1, pairs", "unstructured", 90): Bar(bar=3.8, stretch=4.2),
    ("1x1, pairs", "unstructured", 95): Bar(bar=6.0, stretch=6.5),
    ("3x3", "block", 80): Bar(bar=4.2, stretch=4.5),
    ("3x3", "block", 90): Bar(bar=7.7, stretch=8.5),
    ("3x3", "block", 95): Bar(bar=13.0, stretch=14.5),
}

# (network, percent removed) -> bar over DeepSparse 1.8 with the mask that suits it best.
DEEPSPARSE: dict[tuple[str, int], Bar] = {
    ("mobilenet-v2", 95): Bar(bar=3.0, stretch=3.5),
    ("mobilenet-v2", 90): Bar(bar=3.2, stretch=3.6),
}

LAYERS = "layers"
TWO_THREADS: dict[str, Bar] = {
    LAYERS: Bar(bar=1.75, stretch=1.9),
    "resnet-18": Bar(bar=1.8, stretch=1.9),
    "mobilenet-v2": Bar(bar=1.55, stretch=1.7),
}
EMPTY_NODE_US, FORK_JOIN_US, EMPTY_NODE_STRETCH_US = 0.5, 1.5, 0.25
PREDICTIONS_PER_SECOND = 10_000.0  # genotypes, on one core
# An epoch of the search over that of a straightforward implementation.
SEARCH_EPOCH = Bar(bar=2.0, stretch=3.0)
# Without the library the same file is a dense model, give or take the noise of a host.
FALLBACK_OVER_DENSE = 0.9


def print_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Print one line per bar; nothing where there is none."""
    if not verdicts:
        return
    print(f"\n{'bar':52}{'figure':>8}{'95 %':>15}{'bar':>8}{'stretch':>9}")
    for verdict in verdicts:
        spread = verdict.interval
        interval = f"{spread[0]:.2f}-{spread[1]:.2f}" if spread else ""
        stretch = "" if verdict.stretch is None else f"{verdict.stretch:.2f}"
        bar = f"{'<=' if verdict.at_most else ''}{verdict.bar:.2f}"
        print(
            f"{verdict.what:52}{verdict.figure:8.3f}{interval:>15}{bar:>8}{stretch:>9}  "
            f"{verdict.word}"
        )
    print(f"bars were set on {SET_ON}; the library ran on {instruction_set()}")


def verdict_documents(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Return the verdicts for a JSON file, each with the two instruction sets."""
    sets = {"bar_set_on": SET_ON, "ran_on": instruction_set()}
    return [{**asdict(verdict), "verdict": verdict.word, **sets} for verdict in verdicts]
