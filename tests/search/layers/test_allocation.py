"""Density of the network becomes density per layer."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from latency.operator import SparsityPattern
from search.layers.allocation import allocate_global, allocate_per_layer, default_floors
from search.layers.sparse import (
    LayerMode,
    SparseConv2d,
    SparseLinear,
    density_of,
    freeze_masks,
    set_mode,
    set_pattern,
    sparse_layers,
)


def network(seed: int, pattern: SparsityPattern = SparsityPattern.UNSTRUCTURED) -> nn.Module:
    torch.manual_seed(seed)
    layers = nn.Sequential(
        SparseConv2d(1, 8, 3),
        SparseConv2d(8, 8, 5, groups=8),
        SparseConv2d(8, 16, 1),
        SparseLinear(16, 10),
    )
    set_pattern(layers, pattern)
    return layers


@given(
    st.floats(0.15, 1.0),
    st.sampled_from([SparsityPattern.UNSTRUCTURED, SparsityPattern.BLOCK]),
    st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_global_allocation_meets_the_total_and_the_floors(
    density: float, pattern: SparsityPattern, seed: int
) -> None:
    layers = sparse_layers(net := network(seed, pattern))
    allocate_global(layers, density)
    freeze_masks(net)
    set_mode(net, LayerMode.MASKED)
    total = sum(layer.weight.numel() for layer in layers.values())
    kept = sum(layer.kept_weights() for layer in layers.values())
    group = 4 if pattern is SparsityPattern.BLOCK else 1
    assert abs(kept - density * total) <= group * len(layers)
    for path, floor in default_floors(layers).items():
        assert layers[path].kept_weights() >= floor


def test_global_allocation_keeps_more_where_weights_are_unequal() -> None:
    net = network(0)
    layers = sparse_layers(net)
    with torch.no_grad():
        layers["2"].weight.normal_()
        layers["2"].weight[1:] *= 1e-3  # all that counts is in one row
        layers["2"].reset_scores()
    allocate_global(layers, 0.4, floors={})
    others = [layers[path].density for path in ("1", "3")]
    assert layers["2"].density < min(others)


def test_floors_above_the_total_shrink_to_at_least_one_weight() -> None:
    net = network(1)
    layers = sparse_layers(net)
    allocate_global(layers, 0.01)
    freeze_masks(net)
    set_mode(net, LayerMode.MASKED)
    assert all(layer.kept_weights() >= 1 for layer in layers.values())
    total = sum(layer.weight.numel() for layer in layers.values())
    assert abs(density_of(net) * total - 0.01 * total) <= len(layers)


def test_density_one_keeps_everything() -> None:
    layers = sparse_layers(network(2))
    allocate_global(layers, 1.0)
    assert [layer.density for layer in layers.values()] == [1.0] * 4


def test_per_layer_allocation_is_uniform() -> None:
    layers = sparse_layers(network(3))
    allocate_per_layer(layers, 0.3)
    assert {layer.density for layer in layers.values()} == {0.3}


def test_nothing_to_allocate_is_no_error() -> None:
    allocate_global({}, 0.5)


@pytest.mark.parametrize("density", [0.0, 1.5])
def test_density_out_of_range_is_refused(density: float) -> None:
    layers = sparse_layers(network(4))
    with pytest.raises(ValueError, match="allocation: density"):
        allocate_global(layers, density)
    with pytest.raises(ValueError, match="allocation: density"):
        allocate_per_layer(layers, density)
