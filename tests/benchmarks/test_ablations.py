"""The ablations: which lines there are, that none is run twice, and what the table says of them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.ablation_campaign import Campaign, Line, Outcome, Protocol, light_share
from benchmarks.ablations import (
    FULL,
    LINES,
    chosen_lines,
    main,
    read_outcomes,
    run_missing,
    table_rows,
)
from search.data.dataset import Dataset
from search.data.datasets import load_dataset
from search.engine.ablations import OPTIONS, REMEDIES
from search.engine.recipes import RECIPES
from search.finalize.schedule import TRAIN_SCHEDULES
from search.requests import DatasetRef
from search.space.genotype import Genotype
from search.space.sparsity import MaskRule
from tests.search.space.tables import formula_table

DIGITS = DatasetRef(format="digits", image_size=8)
PROTOCOL = Protocol(
    dataset=DIGITS, table="formula", channels=4, cells=3, density=0.3, budget_share=0.4
)
TINY = Line(recipe=RECIPES["tiny"], schedule=TRAIN_SCHEDULES["tiny"])


def test_every_remedy_and_every_option_has_a_line() -> None:
    assert [f"with-{name}" in LINES for name in OPTIONS] == [True] * len(OPTIONS)
    assert [f"without-{name}" in LINES for name in REMEDIES] == [True] * len(REMEDIES)
    assert len({line.digest for line in LINES.values()}) == len(LINES), "no two lines are alike"
    assert list(chosen_lines("mixed")) == [FULL, "with-mixed-paths"]


def few_digits() -> Dataset:
    dataset = load_dataset(DIGITS)
    return replace(
        dataset,
        train_images=dataset.train_images[:150],
        train_labels=dataset.train_labels[:150],
        test_images=dataset.test_images[:30],
        test_labels=dataset.test_labels[:30],
    )


def test_finished_lines_are_not_run_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)
    dataset = few_digits()
    table = formula_table(4, 3, dataset.task)
    output = tmp_path / "local" / "lines.json"
    lines = {
        FULL: TINY,
        "train-soft-masks": replace(TINY, schedule=replace(TINY.schedule, mask_rule=MaskRule.SOFT)),
    }
    campaign = Campaign(PROTOCOL, table, dataset, tmp_path / "work")
    first = list(run_missing(campaign, lines, 1, output))
    printed = capsys.readouterr().out
    assert printed.count("search: epoch 3/3") == 1, "lines of one recipe share their search"
    assert printed.count("training: epoch 3/3") == 2
    assert read_outcomes(output) == first
    for outcome in first:
        assert outcome.latency_ms <= outcome.high_ms <= outcome.budget_ms
        assert 0.0 <= outcome.accuracy <= 1.0
    assert list(run_missing(campaign, lines, 1, output)) == first
    assert capsys.readouterr().out == ""
    changed = {FULL: replace(TINY, schedule=replace(TINY.schedule, annealed=False))}
    (other,) = run_missing(campaign, changed, 1, output)
    assert other.settings != first[0].settings
    assert len(read_outcomes(output)) == 3


def outcome(line: str, seed: int, accuracy: float) -> Outcome:
    return Outcome(
        line=line,
        settings="",
        seed=seed,
        protocol=PROTOCOL,
        accuracy=accuracy,
        valid_accuracy=accuracy,
        budget_ms=0.2,
        latency_ms=0.15,
        high_ms=0.18,
        light=0.25,
        repaired=False,
        genotype={},
        search_minutes=1.0,
        train_minutes=2.0,
    )


def test_differences_are_between_lines_of_one_seed() -> None:
    found = [
        outcome(FULL, 0, 0.90),
        outcome(FULL, 1, 0.96),
        outcome("with-luck", 1, 0.95),
    ]
    _, full, luck = table_rows(found)
    assert full.split() == ["full", "2", "93.00%", "6.00%", "0.1500", "90%", "25%", "3.0"]
    assert luck.split() == ["with-luck", "1", "95.00%", "0.00%", "-1.00%", "0.1500", "90%", "25%", "3.0"]  # fmt: skip


def test_light_edges_are_skips_and_pools() -> None:
    light = (("skip_connect", 0), ("max_pool_3x3", 1)) * 4
    heavy = (("sep_conv_3x3", 0), ("dil_conv_5x5", 1)) * 4
    assert light_share(Genotype(normal=light, reduce=heavy, channels=4, cells=3)) == 0.5


def test_without_a_table_nothing_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["ablations", "--table", str(tmp_path / "none.json")])
    main()
    assert capsys.readouterr().out.startswith("SKIPPED: nothing was compared.")
