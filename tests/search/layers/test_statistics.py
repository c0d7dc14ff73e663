import pytest
import torch
from torch import nn

from search.layers.statistics import restate_norms


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())


def norm_of(network: nn.Sequential) -> nn.BatchNorm2d:
    norm = network[1]
    assert isinstance(norm, nn.BatchNorm2d)
    return norm


def variance_of(network: nn.Sequential) -> torch.Tensor:
    variance = norm_of(network).running_var
    assert variance is not None
    return variance


def test_evaluation_then_agrees_with_training_on_the_same_images() -> None:
    network, images = small_network(), torch.randn(64, 3, 8, 8) * 3 + 5
    stale = network.eval()(images)
    restate_norms(network, network, [images])
    fresh = network.eval()(images)
    as_trained = network.train()(images)
    assert torch.allclose(fresh, as_trained, atol=1e-3)
    assert not torch.allclose(stale, as_trained, atol=0.1)


@pytest.mark.parametrize("training", [True, False])
def test_mode_momentum_and_weights_stay(*, training: bool) -> None:
    network = small_network().train(training)
    before = {name: value.clone() for name, value in network.named_parameters()}
    restate_norms(network, network, torch.randn(4, 5, 3, 8, 8).unbind())
    assert network.training is training
    assert norm_of(network).momentum == 0.1
    assert all(torch.equal(value, before[name]) for name, value in network.named_parameters())


def test_what_was_there_before_does_not_matter() -> None:
    network, batches = small_network(), list(torch.randn(3, 5, 3, 8, 8).unbind())
    restate_norms(network, network, batches)
    first = variance_of(network).clone()
    variance_of(network).fill_(99.0)
    restate_norms(network, network, batches)
    assert torch.allclose(variance_of(network), first)
