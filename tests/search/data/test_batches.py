"""Batches follow their seed; halves are disjoint; augmentation only moves pixels."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from search.data.batches import (
    Augmentation,
    Examples,
    augment,
    batches,
    seeded_generator,
    split_examples,
)


def numbered(count: int, classes: int = 3) -> Examples:
    images = torch.arange(count, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)
    return Examples(images=images, labels=torch.arange(count) % classes)


def identities(examples: Examples) -> set[int]:
    return {int(value) for value in examples.images[:, 0, 0, 0]}


@given(st.integers(12, 90), st.floats(0.2, 0.8), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_parts_are_disjoint_complete_and_stratified(count: int, share: float, seed: int) -> None:
    examples = numbered(count)
    one, two = split_examples(examples, share, seeded_generator(seed, "halves"))
    assert not identities(one) & identities(two)
    assert identities(one) | identities(two) == set(range(count))
    per_class = torch.bincount(examples.labels, minlength=3)
    assert ((torch.bincount(one.labels, minlength=3) - share * per_class).abs() <= 0.51).all()


@given(st.integers(1, 50), st.integers(1, 20), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_an_epoch_shows_each_image_at_most_once(count: int, size: int, seed: int) -> None:
    shown = [
        (images, labels)
        for images, labels in batches(numbered(count), size, seeded_generator(seed, "x"))
    ]
    assert len(shown) == max(1, count // size)
    assert {len(labels) for _, labels in shown} == {min(size, count)}
    values = torch.cat([images[:, 0, 0, 0] for images, _ in shown]).int()
    assert len(set(values.tolist())) == len(values)
    assert torch.equal(torch.cat([labels for _, labels in shown]), values % 3)


def test_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        found = batches(numbered(20), 20, seeded_generator(seed, "weights", epoch))
        return [int(v) for v in next(found)[0][:, 0, 0, 0]]

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)


@given(st.lists(st.integers(2, 9), min_size=1, max_size=6), st.floats(0.01, 0.99))
@settings(max_examples=40, deadline=None)
def test_both_parts_have_every_class_however_few_images(counts: list[int], share: float) -> None:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    examples = Examples(images=torch.zeros(len(labels), 1, 1, 1), labels=labels)
    parts = split_examples(examples, share, seeded_generator(0, "halves"))
    found = [torch.bincount(part.labels, minlength=len(counts)) for part in parts]
    assert all(bool((part >= 1).all()) for part in found)
    assert torch.equal(found[0] + found[1], torch.tensor(counts))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 80))
def test_a_sample_is_always_the_same_and_has_nothing_twice(count: int, wanted: int) -> None:
    found = numbered(count).sample(wanted)
    assert len(identities(found)) == len(found) == min(count, wanted)
    assert torch.equal(found.images, numbered(count).sample(wanted).images)


def test_a_sample_of_an_ordered_data_set_is_mixed() -> None:
    ordered = Examples(images=torch.zeros(4000, 1, 4, 4), labels=torch.arange(4000) // 400)
    for start in range(0, 256, 64):
        assert len(set(ordered.sample(256).labels[start : start + 64].tolist())) > 7


def test_class_with_a_single_image_cannot_be_split() -> None:
    with pytest.raises(ValueError, match="class 2 has 1 image; to split it, at least 2 are needed"):
        split_examples(numbered(5), 0.5, seeded_generator(0, "halves"))


def test_shift_moves_each_image_within_its_reach() -> None:
    images = torch.zeros(64, 1, 8, 8)
    images[:, :, 4, 4] = 1.0
    moved = augment(images, Augmentation(shift=2), seeded_generator(0, "shift"))
    assert moved.shape == images.shape
    assert torch.equal(moved.sum(dim=(1, 2, 3)), torch.ones(64))
    places = {tuple(place[2:].tolist()) for place in moved.nonzero()[:, :]}
    assert {row for row, _ in places} == {2, 3, 4, 5, 6}
    assert {column for _, column in places} == {2, 3, 4, 5, 6}


def test_flip_mirrors_some_images_and_leaves_the_others() -> None:
    images = torch.rand(32, 2, 4, 4)
    flipped = augment(images, Augmentation(flip=True), seeded_generator(0, "flip"))
    same = [torch.equal(one, two) for one, two in zip(images, flipped, strict=True)]
    mirrored = [torch.equal(one.flip(2), two) for one, two in zip(images, flipped, strict=True)]
    assert all(one != two for one, two in zip(same, mirrored, strict=True))
    assert 0 < sum(same) < 32
