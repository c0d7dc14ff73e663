"""Speed-up against sparsity, as a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Point:
    """One figure with its interval."""

    percent: float  # of the weights that are removed
    ratio: float
    low: float
    high: float


def plot_speed_up(lines: Mapping[str, Sequence[Point]], title: str, path: Path) -> None:
    """Write an SVG: one line per series over the percentage removed, and the ideal 1 / (1 - s)."""
    figure = Figure(figsize=(7.2, 4.8), layout="constrained")
    axes = figure.subplots()
    percents = sorted({point.percent for points in lines.values() for point in points})
    ideal = [100.0 / (100.0 - percent) for percent in percents]
    axes.plot(percents, ideal, color="0.6", linestyle="--", label="ideal 1 / (1 - sparsity)")
    for label, points in lines.items():
        below = [max(0.0, point.ratio - point.low) for point in points]
        above = [max(0.0, point.high - point.ratio) for point in points]
        axes.errorbar(
            [point.percent for point in points],
            [point.ratio for point in points],
            yerr=[below, above],
            marker="o",
            capsize=3,
            label=label,
        )
    axes.set_xticks(percents, [f"{percent:g} %" for percent in percents])
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}x")
    axes.set_xlabel("weights removed")
    axes.set_ylabel("times as fast as dense ONNX Runtime")
    axes.set_title(title, fontsize="medium")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
