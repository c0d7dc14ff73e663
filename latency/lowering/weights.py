"""Weights for models that are only timed: seeded, He-scaled, with the spec's sparsity."""

import hashlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from latency.graph import GraphNode
from latency.lowering.patterns import random_mask

Weights = dict[str, npt.NDArray[np.float32]]
WeightSource = Callable[[GraphNode], Weights]


def random_weights(seed: int) -> WeightSource:
    """Return a source of weights that depend on the seed and the node's name, nothing else.

    Values are normal with standard deviation sqrt(2 / fan_in) of the weights that are kept, so
    that activations neither vanish nor reach denormal numbers, whose arithmetic is slow.
    """

    def weights_of(node: GraphNode) -> Weights:
        shape = node.spec.weight_shape
        if shape is None:
            return {}
        digest = hashlib.sha256(f"{seed}/{node.name}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        mask = random_mask(node.spec.pattern, shape, node.spec.density, rng)
        fan_in = max(1.0, float(mask.sum()) / shape[0])
        values = rng.standard_normal(shape, dtype=np.float32) * np.float32((2.0 / fan_in) ** 0.5)
        bias = rng.standard_normal(shape[0], dtype=np.float32) * np.float32(0.1)
        return {"weight": values * mask, "bias": bias}

    return weights_of
