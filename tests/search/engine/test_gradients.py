"""Gradients of a step: those of autograd, on a GPU those of the same pass run anew."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from search.engine.device import training_device
from search.engine.gradients import GradientSource

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")


def network(device: torch.device) -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    return nn.Sequential(*layers).to(device)


def batch(seed: int, device: torch.device) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(5, 3, 8, 8, generator=generator)
    return [images.to(device), torch.randint(4, (5,), generator=generator).to(device)]


def expected(module: nn.Module, inputs: Sequence[Tensor], wanted: Sequence[Tensor]) -> list[Tensor]:
    loss = nn.functional.cross_entropy(module(inputs[0]), inputs[1])
    return list(torch.autograd.grad(loss, wanted))


def test_gradients_are_those_of_autograd_and_of_the_inputs_where_none_are_named() -> None:
    device = training_device("cpu")
    module, source = network(device), GradientSource(device)
    parameters = list(module.parameters())

    def loss_of(images: Tensor, labels: Tensor) -> Tensor:
        return nn.functional.cross_entropy(module(images), labels)

    for seed in range(2):
        inputs = batch(seed, device)
        step = source("weights", None, loss_of, inputs, parameters)
        torch.testing.assert_close(list(step.gradients), expected(module, inputs, parameters))
        assert not step.loss.requires_grad
    images, labels = batch(3, device)
    images.requires_grad_()
    step = source("inputs", None, loss_of, [images, labels], ())
    torch.testing.assert_close(list(step.gradients), expected(module, [images, labels], [images]))


def test_an_unknown_device_and_a_missing_gpu_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be one of \['auto', 'cpu', 'cuda'\], got 'tpu'"):
        training_device("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="torch finds no GPU"):
            training_device("cuda")
        assert training_device() == torch.device("cpu")


@needs_gpu
def test_a_replayed_step_follows_its_inputs_its_parameters_and_its_state() -> None:
    device = training_device("cuda")
    module, source = network(device), GradientSource(device)
    parameters = list(module.parameters())
    factor = [1.0]

    def loss_of(images: Tensor, labels: Tensor) -> Tensor:
        return factor[0] * nn.functional.cross_entropy(module(images), labels)

    for seed in range(3):
        inputs = batch(seed, device)
        step = source("weights", "once", loss_of, inputs, parameters)
        torch.testing.assert_close(list(step.gradients), expected(module, inputs, parameters))
        with torch.no_grad():
            for parameter, gradient in zip(parameters, step.gradients, strict=True):
                parameter.sub_(gradient, alpha=0.1)
    factor[0] = 2.0
    twice = source("weights", "twice", loss_of, inputs, parameters)
    wanted = [2.0 * gradient for gradient in expected(module, inputs, parameters)]
    torch.testing.assert_close(list(twice.gradients), wanted)
