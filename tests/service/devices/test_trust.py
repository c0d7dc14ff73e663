"""Simulated fleets: what checks find, what they cost, and how seldom they blame an honest device."""

import random
from collections.abc import Callable

import numpy as np
import pytest

from latency.table import TableRow
from service.devices.trust import (
    CHECKS,
    ENOUGH,
    LEAST_SHARE,
    TRUSTED_AFTER,
    agrees,
    is_usable,
    mixed,
    ratio,
    refusal,
    share_checked,
)
from tests.service.samples import STARTED, conv

PROFILES = 2_000  # of each kind
FAR = (1_000.0, 1 / 1_000, 60.0, 1 / 60, 8.0, 1 / 8)
CLASS_SPREAD, NOISE, THROTTLED, SLOWER = 0.10, 0.05, 0.05, 2.2


def profile_ratio(rng: np.random.Generator, factor: float = 1.0) -> float:
    """Return what the checks of one profile say of a device of a class."""
    known = rng.uniform(2_000, 900_000, CHECKS)
    device = rng.normal(1.0, CLASS_SPREAD)  # beside the centre of its class
    taken = known * device * rng.normal(1.0, NOISE, CHECKS) * factor
    taken = np.where(rng.random(CHECKS) < THROTTLED, taken * SLOWER, taken)
    found = ratio(
        {str(index): float(value) for index, value in enumerate(taken)},
        {str(index): float(value) for index, value in enumerate(known)},
    )
    assert found is not None
    return found


def row(median_ns: float, spread_ns: float, unstable: str = "") -> TableRow:
    return TableRow(
        spec=conv(),
        median_ns=median_ns,
        spread_ns=spread_ns,
        samples=15,
        method="chain",
        measured_at=STARTED,
        unstable=unstable,
    )


@pytest.mark.parametrize("factor", FAR)
def test_wrong_units_are_found_every_time(factor: float) -> None:
    rng = np.random.default_rng(1)
    assert not any(agrees(profile_ratio(rng, factor)) for _ in range(PROFILES))


def test_honest_devices_are_hardly_ever_blamed() -> None:
    rng = np.random.default_rng(2)
    blamed = sum(not agrees(profile_ratio(rng)) for _ in range(PROFILES))
    assert blamed <= PROFILES // 1_000


def test_too_few_checks_decide_nothing() -> None:
    known = {str(index): 2_000.0 for index in range(CHECKS)}
    found = {str(index): 2_000.0 for index in range(ENOUGH - 1)}
    assert ratio(found, known) is None
    assert ratio({**found, "other": 1.0, "another": 1.0}, known) is None
    assert ratio({**found, "7": 4_000.0}, known) == 1.0


def test_what_costs_nothing_or_is_not_settled_judges_nobody() -> None:
    assert is_usable(row(2_000.0, 100.0))
    assert not is_usable(row(200.0, 10.0))
    assert not is_usable(row(2_000.0, 900.0))
    assert not is_usable(row(2_000.0, 100.0, "disturbed"))


def test_a_refusal_says_by_how_much() -> None:
    assert refusal(60.2) == "operators that are known here took 60.2 times as long as known"


@pytest.mark.parametrize("operators", [0, 1, 20])
def test_checks_lie_among_the_others_and_change_not_their_order(operators: int) -> None:
    asked = [conv(4 * (index + 1)) for index in range(operators)]
    checks = [conv(4 * (index + 1), size=16) for index in range(CHECKS)]
    places = set()
    for seed in range(50):
        together = mixed(asked, checks, random.Random(seed))  # noqa: S311 - a test repeats itself
        assert [spec for spec in together if spec not in checks] == asked
        assert set(together) == {*asked, *checks}
        places.add(together.index(checks[0]))
    assert len(places) > 1


def seen(lies_at: Callable[[int], bool], profiles: int, rng: random.Random) -> tuple[int, int]:
    """Return (profiles that were checked, lies that went by before one was found)."""
    agreed = checked = lies = 0
    for number in range(profiles):
        is_checked = rng.random() < share_checked(agreed)
        checked += is_checked
        if lies_at(number):
            if is_checked:
                return checked, lies
            lies += 1
        elif is_checked:
            agreed += 1
    return checked, lies


def test_a_liar_that_was_honest_for_long_is_found_within_sixty_profiles() -> None:
    rng = random.Random(3)  # noqa: S311 - a test repeats itself
    agents = 1_000
    late = sum(seen(lambda number: number >= 100, 1_000, rng)[1] > 60 for _ in range(agents))
    assert late <= 0.05 * agents


def test_checks_of_a_trusted_device_cost_little() -> None:
    rng = random.Random(4)  # noqa: S311 - a test repeats itself
    profiles = 2_000
    checked, _ = seen(lambda _number: False, profiles, rng)
    assert checked / profiles <= 0.10
    assert share_checked(TRUSTED_AFTER - 1) == 1.0
    assert share_checked(TRUSTED_AFTER) == 1 / TRUSTED_AFTER
    assert share_checked(10_000) == LEAST_SHARE
