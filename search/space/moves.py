"""Moves: how a strategy gets from genotypes to genotypes of the same space."""

from collections.abc import Hashable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

G = TypeVar("G", bound=Hashable)


class Moves(Protocol[G]):
    """A space as a strategy sees it. Every genotype that comes out is one of the space."""

    def smallest(self) -> G:
        """Return the cheapest genotype."""
        ...

    def random(self, rng: np.random.Generator) -> G:
        """Return a genotype drawn at random, cheap ones as often as expensive ones."""
        ...

    def mutated(self, genotype: G, rng: np.random.Generator) -> G:
        """Return a genotype that differs from this one in one place."""
        ...

    def crossed(self, one: G, other: G, rng: np.random.Generator) -> G:
        """Return a genotype each part of which is from one of two."""
        ...

    def latency_ms(self, genotypes: Sequence[G]) -> npt.NDArray[np.float64]:
        """Return (N,): the upper end of the predicted 90 % interval of each, milliseconds."""
        ...

    def to_dict(self, genotype: G) -> dict[str, Any]:
        """Return plain JSON values."""
        ...

    def from_dict(self, values: dict[str, Any]) -> G:
        """Build from plain JSON values; ValueError says what is wrong."""
        ...
