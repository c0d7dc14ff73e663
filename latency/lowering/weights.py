"""Weights for models that are only timed: seeded, He-scaled, with the spec's sparsity."""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from latency.graph import GraphNode
from latency.lowering.patterns import random_mask
from latency.operator import POSITION_PIXELS, OperatorSpec, SparsityPattern

Weights = dict[str, npt.NDArray[Any]]  # float32; positions are int32
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
        positions = node.spec.pattern is SparsityPattern.POSITIONS
        pattern = SparsityPattern.DENSE if positions else node.spec.pattern
        mask = random_mask(pattern, shape, node.spec.density, rng)
        fan_in = max(1.0, float(mask.sum()) / shape[0])
        values = rng.standard_normal(shape, dtype=np.float32) * np.float32((2.0 / fan_in) ** 0.5)
        bias = rng.standard_normal(shape[0], dtype=np.float32) * np.float32(0.1)
        weights = {"weight": values * mask, "bias": bias}
        return weights | (_random_positions(node.spec, rng) if positions else {})

    return weights_of


def _random_positions(spec: OperatorSpec, rng: np.random.Generator) -> Weights:
    """Return which runs of output pixels are computed, and what the others are."""
    runs = -(-spec.out_height * spec.out_width // POSITION_PIXELS)
    chosen = np.sort(rng.permutation(runs)[: spec.kept_runs]).astype(np.int32)
    fill = rng.standard_normal(spec.out_channels, dtype=np.float32) * np.float32(0.1)
    return {"positions": chosen, "fill": fill}
