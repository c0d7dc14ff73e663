import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.controls.verdict import Accuracies, judge

fractions = st.floats(0.0, 1.0)


def one(value: float, images: int = 400) -> Accuracies:
    return Accuracies(values=(value,), test_images=images)


def test_one_training_is_judged_by_what_another_test_set_may_say() -> None:
    half = 1.645 * math.sqrt((0.9 * 0.1 + 0.8 * 0.2) / 400)  # standard error 0.025
    found = judge("random", one(0.9), one(0.8))
    assert found.uncertainty == pytest.approx(half)
    assert found.text() == "better than control random by 10.00 ± 4.11 points"
    close = judge("dense", one(0.81), one(0.8))
    assert not close.is_better
    assert close.text() == "not better than control dense"


def test_the_same_difference_says_more_on_more_images() -> None:
    assert not judge("int8", one(0.82), one(0.8)).is_better
    assert judge("int8", one(0.82, 10_000), one(0.8, 10_000)).is_better


def test_several_trainings_are_judged_by_their_spread_where_that_is_larger() -> None:
    searched = Accuracies(values=(0.80, 0.90, 0.97), test_images=10_000)
    rival = Accuracies(values=(0.84, 0.85, 0.86), test_images=10_000)
    found = judge("random-mask", searched, rival)
    spread = math.hypot(statistics.stdev(searched.values), 0.01)
    assert found.uncertainty == pytest.approx(spread)
    assert found.text() == "not better than control random-mask"
    lucky = Accuracies(values=(0.85, 0.85), test_images=400)  # no spread, and still a test set
    assert judge("x", lucky, lucky).uncertainty > 0.02


@given(fractions, fractions, st.integers(1, 10_000))
def test_never_both_are_better_and_no_network_is_better_than_itself(
    first: float, second: float, images: int
) -> None:
    there = judge("x", one(first, images), one(second, images))
    back = judge("x", one(second, images), one(first, images))
    assert not (there.is_better and back.is_better)
    assert there.gained == -back.gained
    assert not judge("x", one(first, images), one(first, images)).is_better


def test_accuracies_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="one training and one test image"):
        Accuracies(values=(), test_images=10)
    assert one(0.5).spread is None
