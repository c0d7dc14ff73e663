"""Where a search is follows from the epoch alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.engine.recipes import RECIPES
from search.engine.schedule import (
    Stage,
    annealed_density,
    cosine,
    stage_of,
    supernet_density,
    temperature,
)

RECIPE = RECIPES["quick"]


def test_stages_follow_each_other_and_cover_all_epochs() -> None:
    stages = [stage_of(RECIPE, epoch) for epoch in range(RECIPE.epochs)]
    lengths = (RECIPE.dense_epochs, RECIPE.scores_epochs, RECIPE.masked_epochs)
    expected = [
        (stage, position, length)
        for stage, length in zip(list(Stage)[:3], lengths, strict=True)
        for position in range(length)
    ]
    assert stages == expected


@given(st.floats(0.01, 1.0))
def test_density_falls_from_one_to_the_final_one(final: float) -> None:
    values = [annealed_density(final, step / 10) for step in range(11)]
    assert values[0] == pytest.approx(1.0)
    assert values[-1] == pytest.approx(final)
    assert values == sorted(values, reverse=True)
    assert values[5] == pytest.approx(final + (1.0 - final) / 8), "half way: seven eighths are gone"


def test_narrow_supernet_keeps_the_weights_per_channel_of_the_exported_network() -> None:
    assert supernet_density(0.25, 16, 8) == pytest.approx(0.5)
    assert supernet_density(0.25, 8, 16) == pytest.approx(0.25), "never sparser than asked"
    assert supernet_density(0.5, 64, 8) == 1.0


def test_cosine_and_temperature_end_low() -> None:
    assert cosine(0.1, 0.0) == pytest.approx(0.1)
    assert cosine(0.1, 1.0) == pytest.approx(0.001)
    assert temperature(RECIPE, 0.0) == 1.0
    assert temperature(RECIPE, 1.0) == pytest.approx(RECIPE.final_temperature)
