"""Calibration of a table on whole networks, and its error on others.

A sum of marginal costs misses what a session costs per call and what neighbours do to each
other's caches. A line through 4 to 8 measured networks takes in most of both.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from latency.estimate.lookup_table import TableEstimator
from latency.estimate.operator_prices import OperatorPrices
from latency.graph import NetworkGraph
from latency.measurement import NetworkMeasurement
from latency.table import Calibration, LatencyTable, PublishedError, TableRow
from latency.units import ms_to_ns

# The line may not tilt further than this share of the fastest network: with few networks of
# similar size slope and intercept trade against each other, and noise would decide.
MAX_INTERCEPT = 0.25
_MIN_FOR_LINE = 4
_HUBER = 1.345  # residuals beyond this many robust deviations count less
_ROUNDS = 20
_MAD_TO_SIGMA = 1.4826
_MIN_SIGMA = 0.005  # fewer than ten networks cannot show that a line is better than this

Array = npt.NDArray[np.float64]


def fit_calibration(
    rows: Sequence[TableRow], networks: Sequence[NetworkMeasurement]
) -> Calibration:
    """Return the line through measured networks; networks without graph or samples are left out.

    With fewer than four networks the intercept is zero; with none the calibration is empty.

    Raises:
        ValueError: there are networks but no rows.
    """
    prices = OperatorPrices(rows)
    usable = usable_networks(networks)
    if not usable:
        return Calibration()
    sums = np.array([prices.sum_ns(graph) for graph, _ in usable])
    measured = np.array([median for _, median in usable])
    slope, intercept = _robust_line(sums, measured)
    residuals = (intercept + slope * sums) / measured - 1.0
    parameters = 1 if intercept == 0.0 else 2
    freedom = max(1, len(usable) - parameters)
    sigma = float(np.sqrt(residuals @ residuals / freedom))
    return Calibration(
        slope=slope,
        intercept_ns=intercept,
        sigma=max(sigma, _MIN_SIGMA),
        networks=len(usable),
    )


def published_error(
    table: LatencyTable, networks: Sequence[NetworkMeasurement]
) -> PublishedError | None:
    """Return how wrong the table is on networks that were held out; None without any."""
    usable = usable_networks(networks)
    if not usable:
        return None
    estimator = TableEstimator(table)
    predicted = np.array([ms_to_ns(estimator.predict(graph).latency_ms) for graph, _ in usable])
    measured = np.array([median for _, median in usable])
    errors = np.abs(predicted / measured - 1.0)
    return PublishedError(
        networks=len(usable),
        mape=float(errors.mean()),
        within_5=float((errors <= 0.05).mean()),
        within_10=float((errors <= 0.10).mean()),
        spearman=spearman(predicted, measured),
        worst=float(errors.max()),
    )


def usable_networks(
    networks: Sequence[NetworkMeasurement],
) -> list[tuple[NetworkGraph, float]]:
    """Return graph and median latency of the networks that have both."""
    return [
        (network.graph, network.median_ns)
        for network in networks
        if network.graph is not None and network.processes_ns and not network.error
    ]


def spearman(first: npt.NDArray[np.floating], second: npt.NDArray[np.floating]) -> float:
    """Return the rank correlation; 0.0 with fewer than three values or where all are equal."""
    if len(first) < 3:
        return 0.0
    ranks = np.array([_ranks(np.asarray(values, dtype=float)) for values in (first, second)])
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    norms = np.sqrt((centred**2).sum(axis=1))
    if not norms.all():
        return 0.0
    return float(centred[0] @ centred[1] / (norms[0] * norms[1]))


def _ranks(values: Array) -> Array:
    """Return ranks from 1; equal values share the mean of their ranks."""
    below = (values[:, None] > values[None, :]).sum(axis=1)
    equal = (values[:, None] == values[None, :]).sum(axis=1)
    ranks: Array = below + (equal + 1) / 2
    return ranks


def _robust_line(sums: Array, measured: Array) -> tuple[float, float]:
    """Return slope and intercept with small relative errors; outliers count less (Huber)."""
    if len(sums) < _MIN_FOR_LINE:
        return float(np.median(measured / sums)), 0.0
    weights = np.ones(len(sums))
    slope, intercept = 1.0, 0.0
    for _ in range(_ROUNDS):
        slope, intercept = _weighted_line(sums, measured, weights / measured**2)
        residuals = np.abs((intercept + slope * sums) / measured - 1.0)
        scale = max(_MAD_TO_SIGMA * float(np.median(residuals)), _MIN_SIGMA)
        weights = np.minimum(1.0, _HUBER * scale / np.maximum(residuals, 1e-12))
    return slope, intercept


def _weighted_line(sums: Array, measured: Array, weights: Array) -> tuple[float, float]:
    """Return the weighted least-squares line whose intercept is within MAX_INTERCEPT."""
    root = np.sqrt(weights)
    columns = np.stack([sums, np.ones(len(sums))], axis=1) * root[:, None]
    _, intercept = np.linalg.lstsq(columns, measured * root, rcond=None)[0]
    limit = MAX_INTERCEPT * float(measured.min())
    intercept = float(np.clip(intercept, -limit, limit))
    slope = float((weights * sums) @ (measured - intercept) / ((weights * sums) @ sums))
    return slope, intercept
