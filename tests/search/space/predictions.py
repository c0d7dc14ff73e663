"""How equal two predictions have to be."""

from dataclasses import replace

import pytest

from latency.estimate.estimator import Prediction


def assert_equal(found: Prediction, wanted: Prediction) -> None:
    """Latency and interval to 1e-9, everything else exactly."""
    for name in ("latency_ms", "low_ms", "high_ms"):
        assert getattr(found, name) == pytest.approx(getattr(wanted, name), rel=1e-9), name
    same = dict.fromkeys(("latency_ms", "low_ms", "high_ms"), 0.0)
    assert replace(found, **same) == replace(wanted, **same)
