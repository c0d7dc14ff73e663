"""Estimates of what layers lose, against the network itself with its weights set to zero."""

import copy
from collections.abc import Callable, Mapping
from functools import lru_cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from latency.operator import SparsityPattern
from search.compress.distortions import ESTIMATES
from search.compress.request import Distortion
from search.finalize.energies import GROUPED_PATTERNS
from search.finalize.layer_distortion import LayerDistortion
from search.finalize.prune import prune_by_plan
from search.layers.operator_layers import operator_layers
from search.layers.patterns import top_k_mask
from search.layers.sparse import SparseLayer, sparse_layers
from search.space.sparsity import Sparsity
from tests.search.compress.small_parent import calibration, cells, examples, stages

NETWORKS: dict[str, Callable[[], nn.Module]] = {"stages": stages, "cells": cells}
PATTERNS = st.sampled_from(GROUPED_PATTERNS)
DENSITIES = st.floats(0.02, 1.0)


def weight_gradients(network: nn.Module, images: slice) -> dict[str, torch.Tensor]:
    data = examples(12)
    loss = cross_entropy(network.eval()(data.images[images]), data.labels[images])
    layers = sparse_layers(network)
    found = torch.autograd.grad(loss, [layer.weight for layer in layers.values()])
    return dict(zip(layers, found, strict=True))


def dropped_of(layer: SparseLayer, pattern: SparsityPattern, density: float) -> torch.Tensor:
    return ~top_k_mask(layer.weight.detach(), pattern, density)


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=5, deadline=None)
@given(pattern=PATTERNS, density=DENSITIES)
def test_first_order_is_gradient_times_weight_of_what_is_dropped(
    name: str, pattern: SparsityPattern, density: float
) -> None:
    network = NETWORKS[name]()
    gradients = weight_gradients(network, slice(None))
    found = ESTIMATES[Distortion.FIRST_ORDER](calibration(network))
    for operator, parts in operator_layers(network).items():
        worth = sum(
            float(
                (gradients[path] * layer.weight.detach())[dropped_of(layer, pattern, density)]
                .abs()
                .sum()
            )
            for path, layer in parts.items()
        )
        assert found[operator].distortion(pattern, density) == pytest.approx(worth, abs=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_second_order_takes_the_gradients_of_single_images(name: str) -> None:
    network = NETWORKS[name]()
    pattern, density = SparsityPattern.BLOCK, 0.3
    singles = [weight_gradients(network, slice(index, index + 1)) for index in range(12)]
    found = ESTIMATES[Distortion.SECOND_ORDER](calibration(network))
    for operator, parts in operator_layers(network).items():
        worth = 0.0
        for path, layer in parts.items():
            fisher = torch.stack([one[path].square() for one in singles]).mean(dim=0)
            dropped = dropped_of(layer, pattern, density)
            worth += float((fisher * layer.weight.detach().square() / 2)[dropped].sum())
        assert found[operator].distortion(pattern, density) == pytest.approx(worth, rel=1e-4)


@settings(max_examples=5, deadline=None)
@given(pattern=PATTERNS, density=DENSITIES, data=st.data())
def test_one_shot_is_the_rise_of_the_loss_with_that_layer_pruned(
    pattern: SparsityPattern, density: float, data: st.DataObject
) -> None:
    network = cells()
    found = ESTIMATES[Distortion.ONE_SHOT](calibration(network))
    operator = data.draw(st.sampled_from(sorted(found)))
    dense = Sparsity(pattern=SparsityPattern.DENSE, density=1.0)
    option = Sparsity(pattern=pattern, density=density)
    own = operator_layers(network)[operator]
    pruned = copy.deepcopy(network)
    prune_by_plan(
        pruned, {path: option if path in own else dense for path in sparse_layers(network)}, 1.0
    )
    losses = []
    for judged in (network, pruned):
        # In training mode batch norms normalise a batch by itself.
        logits = copy.deepcopy(judged).train()(examples(12).images)
        losses.append(cross_entropy(logits, examples(12).labels).item())
    rise = max(0.0, losses[1] - losses[0])
    assert found[operator].distortion(pattern, density) == pytest.approx(rise, abs=1e-5)


@pytest.mark.parametrize("distortion", Distortion)
def test_estimates_leave_the_network_as_it_was(distortion: Distortion) -> None:
    network = copy.deepcopy(cells()).train()
    before = copy.deepcopy(network.state_dict())
    found = ESTIMATES[distortion](calibration(network))
    assert found.keys() == operator_layers(network).keys()
    for layer in found.values():
        assert layer.distortion(SparsityPattern.DENSE, 1.0) == 0.0
        assert layer.reached(SparsityPattern.DENSE, 1.0) == 1.0
        for pattern in GROUPED_PATTERNS:
            assert layer.distortion(pattern, 1.0) == pytest.approx(0.0, abs=1e-6)
            assert layer.distortion(pattern, 0.1) >= 0.0
    assert network.training
    assert all(layer.weight.grad is None for layer in sparse_layers(network).values())
    for name, value in network.state_dict().items():
        same = torch.equal(value, before[name]) if torch.is_tensor(value) else value == before[name]
        assert same, name


@lru_cache(maxsize=1)
def of_cells() -> list[Mapping[str, LayerDistortion]]:
    judged = calibration(cells())
    return [estimate(judged) for estimate in ESTIMATES.values()]


@settings(max_examples=20, deadline=None)
@given(pattern=PATTERNS, density=DENSITIES)
def test_estimates_agree_on_what_a_density_keeps(pattern: SparsityPattern, density: float) -> None:
    energies, *others = of_cells()
    for other in others:
        for operator, layer in other.items():
            assert layer.reached(pattern, density) == energies[operator].reached(pattern, density)


@settings(max_examples=20, deadline=None)
@given(pattern=PATTERNS, densities=st.lists(DENSITIES, min_size=2, max_size=4))
def test_dropping_more_is_worth_more(pattern: SparsityPattern, densities: list[float]) -> None:
    _, *derivatives, _ = of_cells()
    for layers in derivatives:
        for layer in layers.values():
            worth = [layer.distortion(pattern, density) for density in sorted(densities)]
            assert worth == sorted(worth, reverse=True)
