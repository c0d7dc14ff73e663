"""The rivals have the sizes of the networks that DASS was compared with."""

import pytest

from latency.operator import Regime
from search.space.builtin import BUILTIN
from search.space.rivals import RIVALS
from search.space.stage_networks import build_stages
from search.space.task import CIFAR10
from tests.search.space.stages import check_stages_stand_alone


def totals(name: str, width: float) -> tuple[float, float]:
    """Return millions of prunable weights and of multiply-adds."""
    specs = build_stages(RIVALS[name](width), CIFAR10).operators
    return sum(s.num_weights for s in specs) / 1e6, sum(s.macs for s in specs) / 1e6


# Counted from the authors' code by other means.
@pytest.mark.parametrize(
    ("name", "weights", "macs"), [("mobilenet-v2", 2.262, 91), ("resnet-18", 11.164, 555)]
)
def test_size_is_that_of_the_authors(name: str, weights: float, macs: float) -> None:
    counted_weights, counted_macs = totals(name, 1.0)
    assert counted_weights == pytest.approx(weights, abs=0.0006)
    assert counted_macs == pytest.approx(macs, abs=0.6)


@pytest.mark.parametrize("name", RIVALS)
def test_half_the_width_is_a_quarter_of_the_weights(name: str) -> None:
    whole, half = totals(name, 1.0), totals(name, 0.5)
    assert half[0] == pytest.approx(whole[0] / 4, rel=0.1)
    widths = [stage.width for stage in RIVALS[name](0.4).stages]
    assert all(width % 8 == 0 for width in widths)


def test_resnet_is_the_network_that_latency_is_measured_on() -> None:
    graph = build_stages(RIVALS["resnet-18"](1.0), CIFAR10)
    assert BUILTIN["resnet-18-cifar"]() == graph


def test_mobilenet_has_projections_where_widths_change_at_stride_one() -> None:
    names = {node.name for node in build_stages(RIVALS["mobilenet-v2"](1.0), CIFAR10).nodes}
    shortcuts = {name for name in names if name.endswith("shortcut")}
    assert shortcuts == {f"stages.{stage}.0.shortcut" for stage in (0, 1, 4, 6)}


@pytest.mark.parametrize("regime", Regime)
@pytest.mark.parametrize("name", RIVALS)
def test_every_stage_can_be_priced_alone(name: str, regime: Regime) -> None:
    check_stages_stand_alone(RIVALS[name](0.5), CIFAR10, regime)
