"""How equal two predictions have to be."""

from dataclasses import replace

import pytest

from latency.estimate.estimator import Prediction


def assert_equal(found: Prediction, wanted: Prediction) -> None:
    """Latency and interval to 1e-9, everything else exactly."""
    for name in ("latency_ms", "low_ms", "high_ms"):
        assert getattr(found, name) == pytest.approx(getattr(wanted, name), rel=1e-9), name
    assert _rest(found) == _rest(wanted)


def _rest(prediction: Prediction) -> Prediction:
    return replace(prediction, latency_ms=0.0, low_ms=0.0, high_ms=0.0)
