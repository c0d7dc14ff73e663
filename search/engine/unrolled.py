"""Gradient of the architecture through one step of the weights: second order, as in DARTS.

Liu et al., arXiv 1806.09055, equations 7 and 8. With w' = w - r (gradient of the training loss), the
gradient of L_val(w', a) by a has a second part, -r times a Hessian-vector product of the training
loss. That is a difference of two gradients by a, taken at w plus and minus a little of v, where v is
the gradient of L_val(w', a) by w'.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from search.engine.gradients import StepGradients

RADIUS = 1e-2  # length of the step to either side, of all weights together

Batch = tuple[Tensor, Tensor]  # images, labels

# Kind of pass, inputs (a batch and the mixture), parameters -> loss and gradients, as GradientSource.
RunPass = Callable[[str, list[Tensor], list[Tensor]], StepGradients]


def unrolled_gradients(
    run_pass: RunPass,
    optimizer: torch.optim.SGD,
    train: Batch,
    valid: Batch,
    mixture: list[Tensor],
) -> StepGradients:
    """Return the loss on `valid` after one step on `train`, and its gradient by the mixture.

    Args:
        run_pass: gives the gradients of a pass.
        optimizer: would take the step; its rate, momentum and decay are heeded, clipping is not.
            Its parameters come back as they were.
        train: what the step is taken on.
        valid: what the architecture is judged on.
        mixture: how operations are mixed; requires gradients.
    """
    group = optimizer.param_groups[0]
    rate, weights = group["lr"], group["params"]
    before = [weight.detach().clone() for weight in weights]
    step = run_pass("weights", [*train, *(part.detach() for part in mixture)], weights)
    _move(weights, before, _directions(optimizer, step.gradients), -rate)
    ahead = run_pass("ahead", [*valid, *mixture], weights)
    slopes, direct = ahead.gradients[: len(weights)], ahead.gradients[len(weights) :]
    length = float(torch.stack([slope.norm() for slope in slopes]).norm())
    if length == 0.0:
        _move(weights, before, slopes, 0.0)
        return StepGradients(loss=ahead.loss, gradients=direct)
    radius = RADIUS / length
    sides = []
    for sign in (radius, -radius):
        _move(weights, before, slopes, sign)
        found = run_pass("alphas", [*train, *mixture], [])
        sides.append([gradient.clone() for gradient in found.gradients])
    _move(weights, before, slopes, 0.0)
    factor = rate / (2.0 * radius)
    gradients = (
        first - factor * (up - down) for first, up, down in zip(direct, *sides, strict=True)
    )
    return StepGradients(loss=ahead.loss, gradients=tuple(gradients))


@torch.no_grad()
def _directions(optimizer: torch.optim.SGD, gradients: Sequence[Tensor]) -> list[Tensor]:
    """Return what SGD would move the parameters against, per unit of its rate."""
    group = optimizer.param_groups[0]
    directions = []
    for weight, gradient in zip(group["params"], gradients, strict=True):
        direction = gradient + group["weight_decay"] * weight
        buffer = optimizer.state[weight].get("momentum_buffer") if group["momentum"] else None
        directions.append(direction if buffer is None else direction + group["momentum"] * buffer)
    return directions


@torch.no_grad()
def _move(
    weights: list[Tensor], start: list[Tensor], directions: Sequence[Tensor], length: float
) -> None:
    """Set the weights to `start`, moved by `length` times `directions`."""
    for weight, old, direction in zip(weights, start, directions, strict=True):
        weight.copy_(old)
        weight.add_(direction, alpha=length)
