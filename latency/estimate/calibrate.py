"""Calibration of a table on whole networks, and its error on others.

A sum of marginal costs misses what a session costs per call and what neighbours do to each
other's caches. A line through 4 to 8 measured networks takes in most of both.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from latency.estimate.lookup_table import TableEstimator
from latency.estimate.operator_prices import operator_prices
from latency.graph import NetworkGraph
from latency.measurement import AGREEMENT, DISTURBED, NetworkMeasurement
from latency.operator import Regime
from latency.table import Calibration, LatencyTable, PublishedError, TableRow
from latency.target import UNKNOWN_DEVICE, DeviceFacts
from latency.units import ms_to_ns, ns_to_ms

# What is expected of the line before anything is measured: rows are marginal costs, so they are to be
# added up as they are, and a call costs a part of the fastest network. With few networks of similar
# size slope and intercept trade against each other, and noise would decide: on three undisturbed
# networks of 0.24 to 0.29 ms a line without these priors missed 71 others by 3.8 %, with them by 1.7 %.
_PRIOR_SLOPE = 0.05  # standard deviation
_PRIOR_INTERCEPT = 0.3  # the same, as a share of the fastest network
_USUAL_RESIDUAL = 0.02
_DISTURBED_RESIDUAL = 0.05  # of a network on a disturbed machine, where it is heard at all
_HUBER = 1.345  # residuals beyond this many robust deviations count less
_ROUNDS = 20
_MAD_TO_SIGMA = 1.4826
_QUIET_SHARE = 2 / 3
_ENOUGH = 4  # undisturbed networks make a line without the disturbed ones
_MIN_FOR_SIGMA = 3
_FEW_SIGMA = 0.06  # with one or two networks there is no telling
_MIN_SIGMA = 0.012  # two measurements of one network agree no better

Array = npt.NDArray[np.float64]


def fit_calibration(
    rows: Sequence[TableRow],
    networks: Sequence[NetworkMeasurement],
    regime: Regime = Regime.STOCK,
    facts: DeviceFacts = UNKNOWN_DEVICE,
) -> Calibration:
    """Return the line through networks of one regime; others and unusable ones are left out.

    It is drawn towards the plain sum of the rows, which it is without any network. Disturbed networks
    count only where undisturbed ones are few, and less. Sigma is what each network's own prediction misses when it is left out of the fit.

    Raises:
        ValueError: there are networks but no rows.
    """
    prices = operator_prices(tuple(rows), facts)
    undisturbed = undisturbed_networks(networks, regime)
    known = undisturbed if len(undisturbed) >= _ENOUGH else measured_networks(networks, regime)
    if not known:
        return Calibration()
    points = _Points(
        sums=np.array([prices.sum_ns(graph) for graph, _ in _latencies(known)]),
        measured=np.array([median for _, median in _latencies(known)]),
        residuals=np.array(
            [
                _USUAL_RESIDUAL if network in undisturbed else _DISTURBED_RESIDUAL
                for network in known
            ]
        ),
    )
    slope, intercept = _robust_line(points)
    return Calibration(
        slope=slope,
        intercept_ns=intercept,
        sigma=_left_out_sigma(points),
        networks=len(known),
    )


def widened(
    table: LatencyTable,
    held_out: Sequence[NetworkMeasurement],
    regime: Regime = Regime.STOCK,
) -> Calibration:
    """Return the calibration of a regime with a spread that also covers the held-out networks.

    Six networks say little about their own spread. Held-out ones move no prediction, but where
    they missed by more than the fit expects, intervals must be wider.
    """
    usable = usable_networks(held_out, regime)
    calibration = table.calibration_of(regime)
    if not usable:
        return calibration
    estimator = TableEstimator(table)
    missed = [
        ms_to_ns(estimator.predict_form(graph).latency_ms) / median - 1.0
        for graph, median in usable
    ]
    seen = math.sqrt(math.fsum(miss * miss for miss in missed) / len(missed))
    return replace(calibration, sigma=max(calibration.sigma, seen))


def published_error(
    table: LatencyTable,
    networks: Sequence[NetworkMeasurement],
    regime: Regime = Regime.STOCK,
) -> PublishedError | None:
    """Return how wrong the table is on held-out networks of a regime; None without any."""
    usable = usable_networks(networks, regime)
    if not usable:
        return None
    estimator = TableEstimator(table)
    return error_of(
        np.array([estimator.predict_form(graph).latency_ms for graph, _ in usable]),
        np.array([ns_to_ms(median) for _, median in usable]),
    )


def error_of(predicted: Array, measured: Array) -> PublishedError:
    """Return how wrong predictions of at least one network are; both in one unit."""
    errors = np.abs(predicted / measured - 1.0)
    return PublishedError(
        networks=len(errors),
        mape=float(errors.mean()),
        within_5=float((errors <= 0.05).mean()),
        within_10=float((errors <= 0.10).mean()),
        spearman=spearman(predicted, measured),
        worst=float(errors.max()),
    )


def usable_networks(
    networks: Sequence[NetworkMeasurement], regime: Regime
) -> list[tuple[NetworkGraph, float]]:
    """Return graph and median latency of the networks of `quiet_networks`."""
    return _latencies(quiet_networks(networks, regime))


def quiet_networks(
    networks: Sequence[NetworkMeasurement], regime: Regime
) -> list[NetworkMeasurement]:
    """Return the networks of a regime that judge a table.

    Those that were not undisturbed are left out, unless they are more than a third: then that is
    how the machine is.
    """
    known = measured_networks(networks, regime)
    undisturbed = undisturbed_networks(networks, regime)
    return undisturbed if len(undisturbed) >= _QUIET_SHARE * len(known) else known


def undisturbed_networks(
    networks: Sequence[NetworkMeasurement], regime: Regime
) -> list[NetworkMeasurement]:
    """Return the networks of a regime that were measured on a quiet machine.

    Beside the others the reference model was slower than beside the best, or their processes
    disagree.
    """
    known = measured_networks(networks, regime)
    references = [_reference_ns(network) for network in known]
    limit = DISTURBED * min(filter(None, references), default=0.0)
    return [
        network
        for network, reference in zip(known, references, strict=True)
        if reference <= limit and network.apart <= AGREEMENT
    ]


def measured_networks(
    networks: Sequence[NetworkMeasurement], regime: Regime
) -> list[NetworkMeasurement]:
    """Return the networks of a regime that have a graph and a latency."""
    return [
        network
        for network in networks
        if network.graph is not None
        and network.graph.regime is regime
        and network.processes_ns
        and not network.error
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
    found = float(centred[0] @ centred[1] / (norms[0] * norms[1]))
    return max(-1.0, min(1.0, found))  # rounding, where ranks are tied


def _reference_ns(network: NetworkMeasurement) -> float:
    """Return how long the reference model took beside a network; zero where that is unknown."""
    medians = [statistics.median(times) for times in network.reference_ns if times]
    return float(statistics.median(medians)) if medians else 0.0


def _ranks(values: Array) -> Array:
    """Return ranks from 1; equal values share the mean of their ranks."""
    below = (values[:, None] > values[None, :]).sum(axis=1)
    equal = (values[:, None] == values[None, :]).sum(axis=1)
    ranks: Array = below + (equal + 1) / 2
    return ranks


@dataclass(frozen=True, kw_only=True)
class _Points:
    """What a line is fitted to, one of each for every network."""

    sums: Array  # of the rows, nanoseconds
    measured: Array  # nanoseconds
    residuals: Array  # usual ones, relative

    def chosen(self, which: npt.NDArray[np.bool_]) -> "_Points":
        """Return some of them."""
        return _Points(
            sums=self.sums[which], measured=self.measured[which], residuals=self.residuals[which]
        )


def _left_out_sigma(points: _Points) -> float:
    """Return the root mean square relative error of predicting each network from the others.

    What a disturbed network misses counts as little as it does for the line.
    """
    count = len(points.sums)
    if count < _MIN_FOR_SIGMA:
        return _FEW_SIGMA
    errors = []
    for left_out in range(count):
        slope, intercept = _robust_line(points.chosen(np.arange(count) != left_out))
        predicted = intercept + slope * points.sums[left_out]
        errors.append(predicted / points.measured[left_out] - 1.0)
    weights = points.residuals**-2.0
    return max(_MIN_SIGMA, float(np.sqrt(np.average(np.square(errors), weights=weights))))


def _latencies(networks: Sequence[NetworkMeasurement]) -> list[tuple[NetworkGraph, float]]:
    return [(network.graph, network.median_ns) for network in networks if network.graph is not None]


def _robust_line(points: _Points) -> tuple[float, float]:
    """Return slope and intercept with small relative errors; outliers count less (Huber)."""
    weights = np.ones(len(points.sums))
    slope, intercept = 1.0, 0.0
    least = _MIN_SIGMA / _USUAL_RESIDUAL
    for _ in range(_ROUNDS):
        slope, intercept = _weighted_line(points, weights)
        misses = np.abs((intercept + slope * points.sums) / points.measured - 1.0)
        misses /= points.residuals
        scale = max(_MAD_TO_SIGMA * float(np.median(misses)), least)
        weights = np.minimum(1.0, _HUBER * scale / np.maximum(misses, 1e-12))
    return slope, intercept


def _weighted_line(points: _Points, weights: Array) -> tuple[float, float]:
    """Return the line of weighted relative least squares with both priors."""
    root = np.sqrt(weights) / points.residuals
    lines = np.stack([points.sums / points.measured, 1.0 / points.measured], axis=1)
    slopes = [1.0 / _PRIOR_SLOPE, 0.0]
    intercepts = [0.0, 1.0 / (_PRIOR_INTERCEPT * float(points.measured.min()))]
    rows = np.vstack([lines * root[:, None], slopes, intercepts])
    goals = np.concatenate([root, [1.0 / _PRIOR_SLOPE, 0.0]])
    slope, intercept = np.linalg.lstsq(rows, goals, rcond=None)[0]
    return float(slope), float(intercept)
