"""The straightforward search: images changed one by one in a loader, steps as DARTS has them.

First order, which is what ours is; and the second order that the paper runs: one step of the weights
unrolled, with the product of the Hessian by finite differences (Liu et al., arXiv 1806.09055,
equations 7 and 8).
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from benchmarks.plain_dass import PlainSupernet, enter_stage, plain_layers
from search.data.batches import Examples
from search.engine.recipes import SearchRecipe
from search.engine.schedule import Stage
from search.engine.search_loop import EVALUATED, SearchData
from search.space.cell_interactions import MIXED_EDGES
from search.space.primitives import OPERATIONS
from search.space.task import TaskShape

_RADIUS = 0.01  # of the finite difference, over the norm of the direction: DARTS, section 2.3

Batch = tuple[Tensor, Tensor]


class PlainSearch:
    """Network, alphas, optimisers and loaders of the straightforward search.

    Args:
        recipe: sizes and rates; the densities of layers come from `copy_supernet`.
        data: the two halves.
        task: shape of the images, number of classes.
    """

    def __init__(self, recipe: SearchRecipe, data: SearchData, task: TaskShape) -> None:
        self.recipe = recipe
        self.data = data
        self.network = PlainSupernet(recipe.supernet_channels, recipe.supernet_cells, task)
        self.alphas = [
            nn.Parameter(1e-3 * torch.randn(len(MIXED_EDGES), len(OPERATIONS))) for _ in range(2)
        ]
        layers = list(plain_layers(self.network))
        scores = [layer.score for layer in layers]
        named = {id(score) for score in scores}
        weights = [value for value in self.network.parameters() if id(value) not in named]
        self._optimizers = {
            stage: torch.optim.SGD(scores, lr=recipe.score_lr, momentum=recipe.momentum)
            if stage is Stage.SCORES
            else torch.optim.SGD(
                weights,
                lr=recipe.weight_lr,
                momentum=recipe.momentum,
                weight_decay=recipe.weight_decay,
            )
            for stage in Stage
        }
        self._alpha_optimizer = torch.optim.Adam(
            self.alphas, lr=recipe.alpha_lr, betas=(0.5, 0.999), weight_decay=recipe.alpha_decay
        )
        self._weight_batches = _endless(_loader(data.weights, recipe))
        self._alpha_batches = _endless(_loader(data.alphas, recipe))
        self.stage = Stage.DENSE

    def enter(self, stage: Stage) -> None:
        """Begin an epoch of `stage`: scores start in proportion to the weights."""
        self.stage = stage
        enter_stage(self.network, stage)
        if stage is Stage.SCORES:
            with torch.no_grad():
                for layer in plain_layers(self.network):
                    layer.score.copy_(layer.weight / layer.weight.abs().max())
        self.network.train()

    def weight_step(self) -> float:
        """Step weights, or scores in their stage; return the loss."""
        optimizer = self._optimizers[self.stage]
        optimizer.zero_grad()
        loss = self.loss(next(self._weight_batches))
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._trained(), self.recipe.clip_norm)
        optimizer.step()
        return loss.item()

    def alpha_step(self) -> None:
        """Step the alphas, first order."""
        self._alpha_optimizer.zero_grad()
        self.loss(next(self._alpha_batches)).backward()  # type: ignore[no-untyped-call]
        self._alpha_optimizer.step()

    def unrolled_alpha_step(self) -> None:
        """Step the alphas, second order."""
        rate = self._optimizers[self.stage].param_groups[0]["lr"]
        gradients = self.unrolled_gradients(
            next(self._weight_batches), next(self._alpha_batches), rate
        )
        for alpha, gradient in zip(self.alphas, gradients, strict=True):
            alpha.grad = gradient
        self._alpha_optimizer.step()

    def unrolled_gradients(self, train: Batch, valid: Batch, rate: float) -> list[Tensor]:
        """Return the gradients of L_valid(w - rate grad L_train(w, a), a) towards the alphas a.

        Args:
            train: images and labels of the step that is unrolled.
            valid: what its result is judged on.
            rate: length of that step, plain gradient descent. The weights are as before at the end.
        """
        weights = self._trained()
        start = [value.detach().clone() for value in weights]
        inner = torch.autograd.grad(self.loss(train), weights)
        _move(weights, start, inner, -rate)
        outer = torch.autograd.grad(self.loss(valid), [*self.alphas, *weights])
        direct, direction = outer[: len(self.alphas)], outer[len(self.alphas) :]
        radius = _RADIUS / float(torch.cat([value.flatten() for value in direction]).norm())
        _move(weights, start, direction, radius)
        above = torch.autograd.grad(self.loss(train), self.alphas)
        _move(weights, start, direction, -radius)
        below = torch.autograd.grad(self.loss(train), self.alphas)
        _move(weights, start, direction, 0.0)
        return [
            value - rate * (high - low) / (2 * radius)
            for value, high, low in zip(direct, above, below, strict=True)
        ]

    @torch.no_grad()
    def finish(self) -> float:
        """Return the accuracy on images of the alpha half: the end of an epoch."""
        self.network.eval()
        size, right = self.recipe.batch_size, 0
        judged = self.data.alphas.sample(EVALUATED)
        images, labels = judged.images, judged.labels
        for part, wanted in zip(images.split(size), labels.split(size), strict=True):
            right += int((self.logits(part).argmax(dim=1) == wanted).sum())
        self.network.train()
        return right / len(labels)

    def loss(self, batch: Batch) -> Tensor:
        """Return the loss on images and labels, differentiable towards everything."""
        return F.cross_entropy(self.logits(batch[0]), batch[1])

    def logits(self, images: Tensor) -> Tensor:
        """Return the answers of the network under the alphas."""
        answers: Tensor = self.network(images, *(torch.softmax(a, dim=1) for a in self.alphas))
        return answers

    def _trained(self) -> list[Tensor]:
        return list(self._optimizers[self.stage].param_groups[0]["params"])


class _Images(Dataset[tuple[Tensor, Tensor]]):
    """Images that are shifted and mirrored when they are asked for."""

    def __init__(self, examples: Examples, recipe: SearchRecipe) -> None:
        self._examples = examples
        self._recipe = recipe

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, reach = self._examples.images[index], self._recipe.shift
        _, height, width = image.shape
        padded = F.pad(image, (reach, reach, reach, reach))
        top, left = (int(torch.randint(0, 2 * reach + 1, ())) for _ in range(2))
        image = padded[:, top : top + height, left : left + width]
        if self._recipe.flip and float(torch.rand(())) < 0.5:
            image = image.flip(2)
        return image, self._examples.labels[index]


def _loader(examples: Examples, recipe: SearchRecipe) -> "DataLoader[Any]":
    size = min(recipe.batch_size, len(examples))
    return DataLoader(_Images(examples, recipe), batch_size=size, shuffle=True, drop_last=True)


def _endless(loader: "DataLoader[Any]") -> Iterator[Batch]:
    while True:
        yield from loader


@torch.no_grad()
def _move(
    weights: list[Tensor], start: list[Tensor], direction: tuple[Tensor, ...], length: float
) -> None:
    """Set the weights to `start` plus `length` times `direction`."""
    for value, origin, way in zip(weights, start, direction, strict=True):
        value.copy_(origin + length * way)
