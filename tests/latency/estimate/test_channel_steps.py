from collections.abc import Callable, Sequence

import numpy as np
import pytest

from latency.estimate.channel_steps import (
    ChannelPrices,
    Staircase,
    channel_probes,
    find_staircases,
)
from latency.table import TableRow
from tests.latency.samples import conv, depthwise, row

PROBES = (33, 34, 36, 37, 40, 41, 48, 49, 64)


def staircase(step: int) -> Callable[[int], float]:
    return lambda channels: 100.0 + 10.0 * step * -(-channels // step)


def rows_of(law: Callable[[int], float], channels: Sequence[int] = PROBES) -> list[TableRow]:
    rng = np.random.default_rng(0)
    return [row(conv(64, n), law(n) * (1 + 0.005 * rng.standard_normal()), 1.0) for n in channels]


@pytest.mark.parametrize("step", [4, 8, 16, 32])
def test_the_step_of_a_staircase_is_found(step: int) -> None:
    probes = (*PROBES, 65, 80) if step == 32 else PROBES
    assert find_staircases(rows_of(staircase(step), probes))[("conv 1x1", "out")].step == step


def test_a_slope_and_a_flat_line_have_no_step() -> None:
    assert find_staircases(rows_of(lambda n: 20.0 * n)) == {}
    assert find_staircases(rows_of(lambda _: 500.0)) == {}


def cliff(channels: int) -> float:
    """Return a cost that rises smoothly, and is five times as high where no block of 4 is full."""
    return 20.0 * channels * (1 if channels % 4 == 0 else 5)


def test_counts_that_fill_no_block_are_priced_from_others_that_do_not() -> None:
    rows = rows_of(cliff)
    assert find_staircases(rows) == {("conv 1x1", "out"): Staircase(block=4)}
    prices = ChannelPrices(rows)
    for channels in (35, 39, 44, 52, 45):
        found = prices.price_ns(conv(64, channels))
        assert found is not None
        assert found[0] == pytest.approx(cliff(channels), rel=0.05)
    assert prices.price_ns(conv(64, 63)) is None  # nothing of its kind above


def test_probes_vary_every_axis_of_the_first_convolution_of_a_family() -> None:
    probes = channel_probes([conv(3, 16), conv(24, 32), conv(48, 8), depthwise(16)])
    ins = {spec.in_channels for spec in probes if spec.out_channels == 32 and spec.groups == 1}
    outs = {spec.out_channels for spec in probes if spec.in_channels == 24}
    assert ins == outs == {spec.groups for spec in probes if spec.groups > 1}
    assert len(probes) == 3 * len(ins)
    by_step = find_staircases([row(spec, staircase(8)(spec.out_channels)) for spec in probes])
    assert by_step[("conv 1x1", "out")].step == 8


def test_a_price_is_that_of_the_step_above() -> None:
    prices = ChannelPrices(rows_of(staircase(16)))
    for channels in (34, 44, 47, 50, 63):
        found = prices.price_ns(conv(64, channels))
        assert found is not None
        assert found[0] == pytest.approx(staircase(16)(channels), rel=0.02)
        assert found[1] < 0.06 * found[0]


def test_without_a_step_prices_lie_on_the_line_and_the_interval_holds_a_whole_step() -> None:
    prices = ChannelPrices([row(depthwise(16), 100.0), row(depthwise(64), 400.0)])
    found = prices.price_ns(depthwise(32))
    assert found is not None
    assert found[0] == pytest.approx(200.0)
    assert found[1] > 100.0
    assert prices.price_ns(depthwise(8)) is None
    assert prices.price_ns(depthwise(128)) is None


def test_the_narrower_bracket_wins() -> None:
    wide = [row(conv(8, 32), 10.0), row(conv(128, 32), 10.0)]
    narrow = [row(conv(32, 24), 300.0), row(conv(32, 40), 500.0)]
    found = ChannelPrices(wide + narrow).price_ns(conv(32, 32))
    assert found is not None
    assert found[0] == pytest.approx(400.0)
