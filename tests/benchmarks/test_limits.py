"""The use of a limit counts the weights that are kept, and the time of the library."""

import pytest

from benchmarks.limits import uses
from benchmarks.marginal import Ratio, Shape
from latency.operator import OperatorKind, OperatorSpec
from latency.profiler.device import current_target


def test_a_tenth_of_the_weights_in_ten_times_the_time() -> None:
    layer = OperatorSpec(
        kind=OperatorKind.CONV, in_channels=50, out_channels=20, height=10, width=10
    )
    shape = Shape(label="layer", layers=(layer,))
    dense, sparse = (
        Ratio(
            shape="layer", pattern="block", sparsity=sparsity,
            dense_us=1.0, sparse_us=us, ratio=1.0, low=1.0, high=1.0,
        )
        for sparsity, us in ((0.0, 10.0), (0.9, 100.0))
    )  # fmt: skip
    first, second = uses([shape], [[dense, sparse]], current_target(1))
    assert first.gflops == pytest.approx(2 * 50 * 20 * 100 / 10.0 / 1000)
    assert second.gflops == pytest.approx(first.gflops / 100)
    assert second.of_peak == pytest.approx(first.of_peak / 100)
    assert second.of_copy > 0
