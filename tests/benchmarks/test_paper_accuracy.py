"""The comparison with the paper: which trainings there are, and that none is run twice."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.paper_accuracy import (
    CELLS,
    PAPER_LENGTH,
    PROTOCOL,
    Contest,
    contests,
    count_macs,
    read_outcomes,
    run_missing,
)
from search.data.datasets import load_dataset
from search.requests import DatasetRef
from search.space.networks import network_graph
from search.space.task import CIFAR10

SHORT = replace(PROTOCOL, images=200, epochs=(0, 1, 1), width=0.15)


def test_every_ratio_meets_every_rival() -> None:
    found = contests("", 2)
    assert len(found) == len(set(found)) == 2 * 3 * 3
    assert [c.label for c in contests("resnet-18-9", 1)] == [
        "resnet-18-99", "resnet-18-95", "resnet-18-90",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("network", "macs"), [(CELLS, 275), ("mobilenet-v2", 91), ("resnet-18", 555)]
)
def test_macs_at_full_width_are_those_of_the_authors(network: str, macs: float) -> None:
    genotype = Contest(network=network, percent=99, seed=0).genotype(PAPER_LENGTH)
    assert count_macs(network_graph(genotype, CIFAR10)) / 1e6 == pytest.approx(macs, abs=0.6)


def test_finished_trainings_are_not_run_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)
    dataset = load_dataset(DatasetRef(format="digits", image_size=8))
    output = tmp_path / "local" / "lines.jsonl"
    mobile = Contest(network="mobilenet-v2", percent=90, seed=0)
    first = list(run_missing([mobile], SHORT, dataset, output))
    assert "epoch 2/2" in capsys.readouterr().out
    assert read_outcomes(output) == first
    assert first[0].nonzeros == pytest.approx(0.1 * first[0].weights, rel=0.02)
    again = list(run_missing([mobile], SHORT, dataset, output))
    assert again == first
    assert capsys.readouterr().out == ""
    other = replace(SHORT, images=100)
    assert list(run_missing([mobile], other, dataset, output)) != first
    assert len(read_outcomes(output)) == 2
