"""The second-order gradient of the architecture is that of autograd through an explicit step."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from search.engine.gradients import GradientSource, StepGradients
from search.engine.unrolled import Batch, unrolled_gradients
from tests.search.engine.small import RECIPE, small_loop, small_request

DECAY = 1e-3


def batch(seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(16, 5, generator=generator, dtype=torch.float64)
    return images, torch.randint(3, (16,), generator=generator)


class TinyModel:
    """Two smooth layers whose features are mixed by two vectors."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.weights = [normal(5, 6).requires_grad_(), normal(6, 3).requires_grad_()]
        self.mixture = [normal(6).requires_grad_(), normal(3).requires_grad_()]

    def loss(self, weights: Sequence[Tensor], batch: Batch, mixture: Sequence[Tensor]) -> Tensor:
        hidden = torch.tanh(batch[0] @ weights[0]) * mixture[0]
        return nn.functional.cross_entropy((hidden @ weights[1]) * mixture[1], batch[1])

    def run_pass(self, kind: str, inputs: list[Tensor], parameters: list[Tensor]) -> StepGradients:
        def loss_of(images: Tensor, labels: Tensor, *mixture: Tensor) -> Tensor:
            return self.loss(self.weights, (images, labels), mixture)

        return GradientSource(torch.device("cpu"))(kind, None, loss_of, inputs, parameters)


def optimizer_for(model: TinyModel, rate: float, momentum: float, steps: int) -> torch.optim.SGD:
    """Return an optimiser that has taken some steps, so that its momentum is not zero."""
    optimizer = torch.optim.SGD(model.weights, lr=rate, momentum=momentum, weight_decay=DECAY)
    for step in range(steps):
        optimizer.zero_grad()
        fixed = [part.detach() for part in model.mixture]
        loss = model.loss(model.weights, batch(10 + step), fixed)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return optimizer


def exact(model: TinyModel, optimizer: torch.optim.SGD) -> tuple[Tensor, list[Tensor]]:
    """Return loss and gradients by autograd through the step of the weights."""
    group = optimizer.param_groups[0]
    inner = model.loss(model.weights, batch(1), model.mixture)
    gradients = torch.autograd.grad(inner, model.weights, create_graph=True)
    moved = []
    for weight, gradient in zip(model.weights, gradients, strict=True):
        buffer = optimizer.state[weight].get("momentum_buffer", torch.zeros_like(weight))
        step = gradient + DECAY * weight.detach() + group["momentum"] * buffer
        moved.append(weight.detach() - group["lr"] * step)
    loss = model.loss(moved, batch(2), model.mixture)
    return loss.detach(), list(torch.autograd.grad(loss, model.mixture))


@pytest.mark.parametrize(("momentum", "steps"), [(0.0, 0), (0.9, 0), (0.9, 3)])
def test_gradient_is_that_through_one_step(momentum: float, steps: int) -> None:
    model = TinyModel()
    optimizer = optimizer_for(model, rate=0.2, momentum=momentum, steps=steps)
    loss, wanted = exact(model, optimizer)
    found = unrolled_gradients(model.run_pass, optimizer, batch(1), batch(2), model.mixture)
    torch.testing.assert_close(found.loss, loss)
    torch.testing.assert_close(list(found.gradients), wanted, rtol=1e-2, atol=1e-5)


def test_second_part_is_not_lost_beside_the_first() -> None:
    """With a large rate the correction is most of the gradient: a test without it would fail."""
    model = TinyModel()
    optimizer = optimizer_for(model, rate=0.5, momentum=0.0, steps=0)
    found = unrolled_gradients(model.run_pass, optimizer, batch(1), batch(2), model.mixture)
    _, wanted = exact(model, optimizer)
    first_order = model.run_pass("", [*batch(2), *model.mixture], []).gradients
    for got, want, first in zip(found.gradients, wanted, first_order, strict=True):
        assert (want - first).norm() > 0.05 * want.norm()
        assert (got - want).norm() < 0.01 * (want - first).norm()


def test_weights_come_back_as_they_were() -> None:
    model = TinyModel()
    optimizer = optimizer_for(model, rate=0.5, momentum=0.9, steps=2)
    before = [weight.detach().clone() for weight in model.weights]
    unrolled_gradients(model.run_pass, optimizer, batch(1), batch(2), model.mixture)
    assert all(torch.equal(old, new) for old, new in zip(before, model.weights, strict=True))


def test_flat_loss_has_no_second_part() -> None:
    model = TinyModel()
    with torch.no_grad():
        model.mixture[1].zero_()  # logits are zero whatever the weights are
    optimizer = optimizer_for(model, rate=0.5, momentum=0.0, steps=0)
    optimizer.param_groups[0]["weight_decay"] = 0.0  # so that the weights have nowhere to go
    found = unrolled_gradients(model.run_pass, optimizer, batch(1), batch(2), model.mixture)
    first_order = model.run_pass("", [*batch(2), *model.mixture], []).gradients
    torch.testing.assert_close(list(found.gradients), list(first_order))


def test_supernet_is_unrolled_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So little to either side that no ReLU switches: kinks tell in a network of two channels."""
    monkeypatch.setattr("search.engine.unrolled.RADIUS", 1e-6)
    loop = small_loop(small_request(tmp_path), replace(RECIPE, second_order=True))
    loop.run.supernet.double()
    stage = loop._enter_epoch()
    data = loop.data
    train = data.weights.images[:8].double(), data.weights.labels[:8]
    valid = data.alphas.images[:8].double(), data.alphas.labels[:8]
    mixture = [part.double().requires_grad_() for part in loop._mixture()]
    loop._mixture = lambda: [part.detach().clone() for part in mixture]  # type: ignore[method-assign]
    found = loop._task_gradients(valid, 0.0, train).gradients
    first_order = loop._task_gradients(valid, 0.0, None).gradients

    supernet, optimizer = loop.run.supernet, loop._optimizer(stage, 0.0)
    chosen = {id(p) for p in optimizer.param_groups[0]["params"]}
    weights = {name: p for name, p in supernet.named_parameters() if id(p) in chosen}
    inner = nn.functional.cross_entropy(supernet(train[0], *mixture), train[1])
    slopes = torch.autograd.grad(inner, list(weights.values()), create_graph=True)
    rate, decay = optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["weight_decay"]
    moved = {
        name: weight - rate * (slope + decay * weight)
        for (name, weight), slope in zip(weights.items(), slopes, strict=True)
    }
    outer = nn.functional.cross_entropy(
        functional_call(supernet, moved, (valid[0], *mixture)), valid[1]
    )
    wanted = torch.autograd.grad(outer, mixture)
    for got, want, first in zip(found, wanted, first_order, strict=True):
        assert (want - first).norm() > 0.02 * want.norm()
        assert (got - want).norm() < 0.05 * (want - first).norm()
