"""Twenty steps of the search, and a short final training, are what they were: bit for bit here, and
near the stored file on every machine. See `golden.py` for how that file is written.
"""

import json
from pathlib import Path

import pytest

from tests.search.engine.golden import (
    SCHEDULE,
    STORED,
    Losses,
    all_losses,
    search_losses,
    training_losses,
)

# Sums in another order, as other instruction sets have them, are this far apart at the last step.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def losses(tmp_path_factory: pytest.TempPathFactory) -> Losses:
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))  # as `own_host_lock`, which comes later
        return all_losses(folder)


def test_losses_are_those_of_the_file(losses: Losses) -> None:
    stored = json.loads(STORED.read_text())
    assert [len(losses[part]) for part in ("search", "training")] == [28, SCHEDULE.epochs]
    for part, values in stored.items():
        assert losses[part] == pytest.approx(values, rel=TOLERANCE), part


def test_search_again_and_stopped_in_the_middle_has_the_same_bits(
    losses: Losses, tmp_path: Path
) -> None:
    found = search_losses(tmp_path, stop_after=2)
    assert len(found) == 14
    assert found + search_losses(tmp_path) == losses["search"]


def test_training_again_and_stopped_in_the_middle_has_the_same_bits(
    losses: Losses, tmp_path: Path
) -> None:
    found = training_losses(tmp_path, stop_after=2)
    assert len(found) == 2
    assert found + training_losses(tmp_path) == losses["training"]
