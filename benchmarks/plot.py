"""Speed-up against sparsity, as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from latency.report.plots import Point, draw_speed_up


def plot_speed_up(lines: Mapping[str, Sequence[Point]], title: str, path: Path) -> None:
    """Write an SVG: one line per series over the percentage removed, and the ideal 1 / (1 - s)."""
    figure = Figure(figsize=(7.2, 4.8), layout="constrained")
    axes = figure.subplots()
    draw_speed_up(axes, lines)
    axes.set_title(title, fontsize="medium")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
