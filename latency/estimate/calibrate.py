"""Calibration of a table on whole networks, and its error on others.

A sum of marginal costs misses what a session costs per call and what neighbours do to each
other's caches. A line through 4 to 8 measured networks takes in most of both.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from latency.estimate.lookup_table import TableEstimator
from latency.estimate.operator_prices import OperatorPrices
from latency.graph import NetworkGraph
from latency.measurement import AGREEMENT, DISTURBED, NetworkMeasurement
from latency.operator import Regime
from latency.table import Calibration, LatencyTable, PublishedError, TableRow
from latency.target import UNKNOWN_DEVICE, DeviceFacts
from latency.units import ms_to_ns, ns_to_ms

# Prior on the intercept: standard deviation as a share of the fastest network, weighed against
# residuals of the usual size. With few networks of similar size slope and intercept trade against
# each other and noise would decide. On three sets of DARTS networks 0.1 predicted best; 0.02 and
# no prior at all were up to a fifth worse.
_PRIOR_INTERCEPT = 0.1
_USUAL_RESIDUAL = 0.02
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

    The intercept is drawn towards zero, and is zero with one network; without any the calibration
    is empty. Sigma is what each network's own prediction misses when it is left out of the fit.

    Raises:
        ValueError: there are networks but no rows.
    """
    prices = OperatorPrices(rows, facts)
    usable = _latencies(calibrating_networks(networks, regime))
    if not usable:
        return Calibration()
    sums = np.array([prices.sum_ns(graph) for graph, _ in usable])
    measured = np.array([median for _, median in usable])
    slope, intercept = _robust_line(sums, measured)
    return Calibration(
        slope=slope,
        intercept_ns=intercept,
        sigma=_left_out_sigma(sums, measured),
        networks=len(usable),
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


def calibrating_networks(
    networks: Sequence[NetworkMeasurement], regime: Regime
) -> list[NetworkMeasurement]:
    """Return the networks of a regime that a line is fitted to: the undisturbed, if they are enough.

    Unlike a judge that is left out, a disturbed network that is not fitted makes no table look
    better than it is.
    """
    undisturbed = undisturbed_networks(networks, regime)
    return undisturbed if len(undisturbed) >= _ENOUGH else quiet_networks(networks, regime)


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
    return float(centred[0] @ centred[1] / (norms[0] * norms[1]))


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


def _left_out_sigma(sums: Array, measured: Array) -> float:
    """Return the root mean square relative error of predicting each network from the others."""
    count = len(sums)
    if count < _MIN_FOR_SIGMA:
        return _FEW_SIGMA
    errors = []
    for left_out in range(count):
        others = np.arange(count) != left_out
        slope, intercept = _robust_line(sums[others], measured[others])
        errors.append((intercept + slope * sums[left_out]) / measured[left_out] - 1.0)
    return max(_MIN_SIGMA, float(np.sqrt(np.mean(np.square(errors)))))


def _latencies(networks: Sequence[NetworkMeasurement]) -> list[tuple[NetworkGraph, float]]:
    return [(network.graph, network.median_ns) for network in networks if network.graph is not None]


def _robust_line(sums: Array, measured: Array) -> tuple[float, float]:
    """Return slope and intercept with small relative errors; outliers count less (Huber)."""
    weights = np.ones(len(sums))
    slope, intercept = 1.0, 0.0
    for _ in range(_ROUNDS):
        slope, intercept = _weighted_line(sums, measured, weights)
        residuals = np.abs((intercept + slope * sums) / measured - 1.0)
        scale = max(_MAD_TO_SIGMA * float(np.median(residuals)), _MIN_SIGMA)
        weights = np.minimum(1.0, _HUBER * scale / np.maximum(residuals, 1e-12))
    return slope, intercept


def _weighted_line(sums: Array, measured: Array, weights: Array) -> tuple[float, float]:
    """Return the line of weighted relative least squares with the prior on the intercept."""
    root = np.sqrt(weights) / _USUAL_RESIDUAL
    lines = np.stack([sums / measured, 1.0 / measured], axis=1) * root[:, None]
    prior = [0.0, 1.0 / (_PRIOR_INTERCEPT * float(measured.min()))]
    slope, intercept = np.linalg.lstsq(np.vstack([lines, prior]), np.append(root, 0.0), rcond=None)[
        0
    ]
    return float(slope), float(intercept)
