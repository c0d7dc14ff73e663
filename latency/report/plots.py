"""The report of a table as pictures. Needs matplotlib, so nothing but a command imports it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from latency.operator import Regime
from latency.report.values import GainSummary, JudgedNetwork, TableReport

_NAMED = 3  # of the worst networks
_COLOURS = {Regime.STOCK: "tab:blue", Regime.LIBRARY: "tab:orange"}
FORMATS = (".svg", ".png", ".pdf")


@dataclass(frozen=True, kw_only=True)
class Point:
    """One figure with its interval."""

    percent: float  # of the weights that are removed
    ratio: float
    low: float
    high: float


def plot_report(report: TableReport, path: Path) -> None:
    """Write the report as a picture: predictions, errors, and what sparsity is worth.

    Raises:
        ValueError: the name of the file ends in none of FORMATS, or its folder does not exist.
    """
    if path.suffix not in FORMATS:
        raise ValueError(f"{path}: a plot is written as one of {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: the folder does not exist")
    figure = Figure(figsize=(15, 4.8), layout="constrained")
    figure.suptitle(f"{report.target}, table version {report.version}", fontsize="medium")
    predictions, errors, sparsity = figure.subplots(1, 3)
    networks = [network for found in report.accuracy for network in found.networks]
    _draw_predictions(predictions, networks)
    _draw_errors(errors, networks)
    _draw_gains(sparsity, report.sparsity.summaries)
    figure.savefig(path)


def draw_speed_up(axes: Axes, lines: Mapping[str, Sequence[Point]]) -> None:
    """Draw one line per series over the percentage removed, and the ideal 1 / (1 - s)."""
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
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")


def _draw_predictions(axes: Axes, networks: Sequence[JudgedNetwork]) -> None:
    axes.set_xlabel("measured, ms")
    axes.set_ylabel("predicted, ms, with its 90 % interval")
    axes.set_title("held-out networks", fontsize="medium")
    if not networks:
        _say(axes, "no held-out networks")
        return
    for regime in Regime:
        found = [network for network in networks if network.regime is regime]
        if found:
            axes.errorbar(
                [network.measured_ms for network in found],
                [network.predicted_ms for network in found],
                yerr=[
                    [network.predicted_ms - network.low_ms for network in found],
                    [network.high_ms - network.predicted_ms for network in found],
                ],
                fmt="o",
                markersize=3,
                linewidth=0.7,
                color=_COLOURS[regime],
                label=regime.value,
            )
    ends = [min(n.measured_ms for n in networks), max(n.measured_ms for n in networks)]
    axes.plot(ends, ends, color="0.6", linestyle="--")
    axes.set_xscale("log")
    axes.set_yscale("log")
    for network in sorted(networks, key=lambda network: -abs(network.error))[:_NAMED]:
        is_left = network.measured_ms**2 < ends[0] * ends[1]
        axes.annotate(
            f" {network.name} {network.error:+.0%} ",
            (network.measured_ms, network.predicted_ms),
            ha="left" if is_left else "right",
            fontsize="x-small",
        )
    axes.legend(fontsize="small")


def _draw_errors(axes: Axes, networks: Sequence[JudgedNetwork]) -> None:
    axes.set_xlabel("error of the prediction, %")
    axes.set_ylabel("networks")
    axes.set_title("positive: faster than promised", fontsize="medium")
    if not networks:
        _say(axes, "no held-out networks")
        return
    by_regime = {
        regime: [100 * network.error for network in networks if network.regime is regime]
        for regime in Regime
    }
    present = {regime: errors for regime, errors in by_regime.items() if errors}
    edges = np.histogram_bin_edges([100 * network.error for network in networks], bins=21)
    axes.hist(
        list(present.values()),
        bins=list(edges),
        stacked=True,
        label=[regime.value for regime in present],
        color=[_COLOURS[regime] for regime in present],
    )
    for limit in (-5, 5):
        axes.axvline(limit, color="0.6", linestyle="--")
    axes.legend(fontsize="small")


def _draw_gains(axes: Axes, summaries: Iterable[GainSummary]) -> None:
    axes.set_title("does sparsity pay?", fontsize="medium")
    lines: dict[str, list[Point]] = {}
    for found in summaries:
        if found.pattern != "dense":
            point = Point(
                percent=100 * (1 - found.density), ratio=found.gain, low=found.gain, high=found.gain
            )
            lines.setdefault(f"{found.pattern}, {found.family}", []).append(point)
    if not lines:
        _say(axes, "no sparse rows")
        return
    ordered = {
        label: sorted(points, key=lambda point: point.percent) for label, points in lines.items()
    }
    draw_speed_up(axes, ordered)
    axes.tick_params("x", labelsize="x-small", labelrotation=90)


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
