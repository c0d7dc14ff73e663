"""How right a table is: its predictions of held-out networks against what was measured."""

import statistics
from collections.abc import Mapping, Sequence

import numpy as np

from latency.estimate.calibrate import (
    error_of,
    measured_networks,
    quiet_networks,
    undisturbed_networks,
)
from latency.estimate.lookup_table import TableEstimator
from latency.graph import NetworkGraph
from latency.measurement import NetworkMeasurement
from latency.operator import Regime
from latency.report.values import HostAgreement, JudgedNetwork, RegimeAccuracy
from latency.table import PublishedError
from latency.units import ns_to_ms


def accuracy(
    estimator: TableEstimator,
    held_out: Sequence[NetworkMeasurement],
    again: Sequence[NetworkMeasurement] = (),
) -> tuple[RegimeAccuracy, ...]:
    """Return how right the table is in each regime that it is calibrated for.

    Args:
        estimator: of the table.
        held_out: measured networks that the calibration has not seen; unusable ones are left out.
        again: networks measured another time; those with the graph of a held-out one count.
    """
    table = estimator.table
    regimes = [Regime.STOCK] if table.library is None else [Regime.STOCK, Regime.LIBRARY]
    second = {
        measured.graph: measured.median_ns
        for measured in again
        if measured.graph is not None and _is_usable(measured)
    }
    return tuple(_of_regime(estimator, held_out, second, regime) for regime in regimes)


def _of_regime(
    estimator: TableEstimator,
    held_out: Sequence[NetworkMeasurement],
    again: Mapping[NetworkGraph, float],
    regime: Regime,
) -> RegimeAccuracy:
    calibration = estimator.table.calibration_of(regime)
    found = quiet_networks(held_out, regime)
    judged = [_judged(estimator, measured, again) for measured in found]
    if not judged:
        return RegimeAccuracy(regime=regime, calibration=calibration, error=None)
    errors = [network.error for network in judged]
    quiet = {measured.name for measured in undisturbed_networks(held_out, regime)}
    calm = [network for network in judged if network.name in quiet]
    return RegimeAccuracy(
        regime=regime,
        calibration=calibration,
        error=_error(judged),
        median_error=statistics.median(map(abs, errors)),
        bias=statistics.fmean(errors),
        inside_interval=statistics.fmean(network.is_inside for network in judged),
        processes_apart=statistics.median(map(_processes_apart, found)),
        host=_host_agreement(judged),
        disturbed=len(measured_networks(held_out, regime)) - len(found),
        undisturbed=_error(calm) if len(calm) < len(judged) else None,
        networks=tuple(sorted(judged, key=lambda network: -abs(network.error))),
    )


def _error(judged: Sequence[JudgedNetwork]) -> PublishedError | None:
    if not judged:
        return None
    return error_of(
        np.array([network.predicted_ms for network in judged]),
        np.array([network.measured_ms for network in judged]),
    )


def _judged(
    estimator: TableEstimator, measured: NetworkMeasurement, again: Mapping[NetworkGraph, float]
) -> JudgedNetwork:
    assert measured.graph is not None  # noqa: S101 - `quiet_networks` holds it
    prediction = estimator.predict_form(measured.graph)
    measured_ms = ns_to_ms(measured.median_ns)
    second = again.get(measured.graph)
    return JudgedNetwork(
        name=measured.name,
        regime=measured.graph.regime,
        measured_ms=measured_ms,
        predicted_ms=prediction.latency_ms,
        low_ms=prediction.low_ms,
        high_ms=prediction.high_ms,
        error=prediction.latency_ms / measured_ms - 1.0,
        again_ms=None if second is None else ns_to_ms(second),
    )


def _host_agreement(judged: Sequence[JudgedNetwork]) -> HostAgreement | None:
    errors = [
        abs(network.again_ms / network.measured_ms - 1.0)
        for network in judged
        if network.again_ms is not None
    ]
    if not errors:
        return None
    return HostAgreement(
        networks=len(errors),
        mape=statistics.fmean(errors),
        within_5=statistics.fmean(error <= 0.05 for error in errors),
        within_10=statistics.fmean(error <= 0.10 for error in errors),
    )


def _processes_apart(measured: NetworkMeasurement) -> float:
    return measured.apart - 1.0


def _is_usable(measured: NetworkMeasurement) -> bool:
    return bool(measured.processes_ns) and not measured.error
