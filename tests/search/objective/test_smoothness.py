"""The regularised objective of a pruned network: cross-entropy, and how far noise moves the answers."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from search.objective.smoothness import beside_noise, regularised_loss


def logits(seed: int) -> torch.Tensor:
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


LABELS = torch.tensor([0, 3, 1, 2, 2, 0])


def test_loss_is_the_sum_of_its_definition() -> None:
    clean, noisy = logits(0), logits(1)
    divergence = 0.0
    for one, other in zip(clean.softmax(1).tolist(), noisy.softmax(1).tolist(), strict=True):
        divergence += sum(p * math.log(p / q) for p, q in zip(one, other, strict=True))
    expected = float(cross_entropy(clean, LABELS)) + 6.0 * divergence / 6
    found = regularised_loss(torch.cat([clean, noisy]), LABELS, 6.0)
    assert float(found) == pytest.approx(expected)


def test_answers_that_noise_does_not_move_cost_nothing() -> None:
    clean = logits(0)
    found = regularised_loss(torch.cat([clean, clean]), LABELS, 6.0)
    assert float(found) == pytest.approx(float(cross_entropy(clean, LABELS)))


def test_clean_images_come_first_and_noise_has_the_deviation() -> None:
    images = torch.randn(50, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    both = beside_noise(images, 0.25, torch.Generator().manual_seed(1))
    assert torch.equal(both[:50], images)
    noise = both[50:] - images
    assert float(noise.std()) == pytest.approx(0.25, rel=0.02)
    again = beside_noise(images, 0.25, torch.Generator().manual_seed(1))
    assert torch.equal(again, both)
