"""Distillation: what the loss is, and that a network learns from a teacher without any label."""

import pytest
import torch
from torch import nn

from search.finalize.teacher import Teacher


def teacher(weight: float = 0.5, temperature: float = 2.0) -> tuple[Teacher, nn.Linear]:
    torch.manual_seed(0)
    network = nn.Linear(6, 3)
    return Teacher(network=network, weight=weight, temperature=temperature), network


def test_loss_is_that_of_the_paper() -> None:
    taught, network = teacher(0.25, 2.0)
    images, logits = torch.randn(4, 6), torch.randn(4, 3)
    p = torch.softmax(network(images).detach() / 2.0, 1)
    q = torch.softmax(logits / 2.0, 1)
    divergence = float((p * (p / q).log()).sum() / 4)
    found = float(taught.loss(torch.tensor(1.5), logits, images))
    assert found == pytest.approx(0.75 * 1.5 + 0.25 * 4.0 * divergence, rel=1e-5)


def test_who_says_the_same_has_nothing_to_learn() -> None:
    taught, network = teacher(1.0)
    images = torch.randn(4, 6)
    assert float(taught.loss(torch.tensor(9.0), network(images).detach(), images)) < 1e-6


def test_a_network_learns_from_the_teacher_alone() -> None:
    taught, network = teacher(1.0)
    pupil, images = nn.Linear(6, 3), torch.randn(64, 6)
    optimizer = torch.optim.SGD(pupil.parameters(), lr=0.5)
    before = network.weight.detach().clone()
    for _ in range(200):
        optimizer.zero_grad()
        taught.loss(torch.zeros(()), pupil(images), images).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert float(taught.loss(torch.zeros(()), pupil(images), images).detach()) < 1e-3
    assert torch.equal(network.weight, before)


@pytest.mark.parametrize(("weight", "temperature"), [(0.0, 1.0), (1.1, 1.0), (0.5, 0.0)])
def test_wrong_settings_are_refused(weight: float, temperature: float) -> None:
    with pytest.raises(ValueError, match="teacher: "):
        teacher(weight, temperature)
