"""The loss of a network on a few images: as it is, and with some of its layers pruned at one shot."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latency.host_lock import training_step
from search.data.batches import Examples
from search.layers.operator_layers import operator_layers
from search.layers.patterns import top_k_mask
from search.layers.sparse import SparseLayer
from search.space.sparsity import Sparsity


class Calibration:
    """A trained network, every weight kept, and images that it is judged on.

    Batch norms use the statistics of these images, as they would when they are restated: with those
    of the dense network a pruned one would answer at random, and all plans would look alike.

    Args:
        network: unchanged when a method returns.
        examples: a single batch, of the training images.
    """

    def __init__(self, network: nn.Module, examples: Examples) -> None:
        self.network, self.examples = network, examples
        self.operators = operator_layers(network)

    def loss(self, pruned: Mapping[str, Sparsity]) -> float:
        """Return the mean cross entropy with some layers masked as `prune_by_plan` masks them.

        Args:
            pruned: what they are, by operator; the others stay dense.
        """
        return float(F.cross_entropy(self._logits(pruned), self.examples.labels))

    def error(self, pruned: Mapping[str, Sparsity]) -> float:
        """Return the fraction of the images that is classified wrongly, likewise."""
        wrong = self._logits(pruned).argmax(dim=1) != self.examples.labels
        return float(wrong.float().mean())

    def gradients(self, layers: Mapping[str, SparseLayer], size: int) -> Iterator[list[Tensor]]:
        """Yield the gradient of the mean loss by each weight, batch by batch.

        Here batch norms are those of the dense network: it is what is differentiated, and a batch
        can be a single image.

        Args:
            layers: by path; gradients come in their order.
            size: images of a batch.
        """
        weights = [layer.weight for layer in layers.values()]
        with _evaluated(self.network):
            for start in range(0, len(self.examples), size):
                images = self.examples.images[start : start + size]
                labels = self.examples.labels[start : start + size]
                with training_step(), torch.enable_grad():
                    loss = F.cross_entropy(self.network(images).float(), labels)
                    found = list(torch.autograd.grad(loss, weights))
                yield found

    @torch.no_grad()
    def _logits(self, pruned: Mapping[str, Sparsity]) -> Tensor:
        layers = [
            (part, sparsity)
            for operator, sparsity in pruned.items()
            for part in self.operators[operator].values()
        ]
        with _evaluated(self.network), _own_statistics(self.network), _masked(layers):
            with training_step():
                logits: Tensor = self.network(self.examples.images).float()
            return logits


@contextmanager
def _evaluated(network: nn.Module) -> Iterator[None]:
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)


@contextmanager
def _own_statistics(network: nn.Module) -> Iterator[None]:
    """Let batch norms normalise a batch by itself, and forget it."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    known = [(norm.running_mean, norm.running_var) for norm in norms]
    for norm in norms:
        norm.running_mean = norm.running_var = None
    try:
        yield
    finally:
        for norm, (mean, variance) in zip(norms, known, strict=True):
            norm.running_mean, norm.running_var = mean, variance


@contextmanager
def _masked(pruned: list[tuple[SparseLayer, Sparsity]]) -> Iterator[None]:
    kept = [(layer, layer.weight.detach().clone()) for layer, _ in pruned]
    for layer, sparsity in pruned:
        layer.weight.mul_(top_k_mask(layer.weight, sparsity.pattern, sparsity.density))
    try:
        yield
    finally:
        for layer, weight in kept:
            layer.weight.copy_(weight)
