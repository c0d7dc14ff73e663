"""Genotype: the architecture value of the DARTS family, with sparsity per layer.

Cells are written as DARTS writes them: each of the four nodes has two incoming edges, an edge is
(operation, input), and inputs count 0 and 1 for the outputs of the two previous cells, then 2 to 5
for the nodes (Liu et al., DARTS, arXiv 1806.09055, section 2).
"""

import json
import sys
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

from latency.operator import SparsityPattern
from search.space.genotype_form import (
    check_choices,
    check_edges,
    check_form,
    check_integers,
    check_list,
)
from search.space.primitives import OPERATIONS

NODES = 4
EDGES = 2 * NODES
_KEYS = ("normal", "reduce", "channels", "cells")
_MORE_KEYS = ("normal_concat", "reduce_concat", "layers")

Edge = tuple[str, int]  # (operation, input)


@dataclass(frozen=True, kw_only=True, order=True, slots=True)
class LayerChoice:
    """Sparsity of one layer of the network; layers that no choice names are dense.

    Slotted, because a batch of predictions reads half a million of them.
    """

    layer: str  # path of the layer in the network, such as cells.0.edges.3
    pattern: SparsityPattern
    density: float  # fraction kept: weights, or channels for the channel pattern

    def __post_init__(self) -> None:
        # One string for all genotypes, which is found in a table without being compared.
        object.__setattr__(self, "layer", sys.intern(str(self.layer)))
        object.__setattr__(self, "pattern", SparsityPattern(self.pattern))
        object.__setattr__(self, "density", round(float(self.density), 4))
        if not 0.0 < self.density <= 1.0:
            raise ValueError(f"genotype: density of {self.layer} must be above 0 and at most 1")


@dataclass(frozen=True, kw_only=True)
class Genotype:
    """One network: two cells, width, depth, and the sparsity of its layers. Immutable, hashable.

    Raises:
        ValueError: the cells are not of the DARTS form; the message names the edge.
    """

    normal: tuple[Edge, ...]
    reduce: tuple[Edge, ...]
    channels: int  # of the first cell; doubled by each reduction
    cells: int
    normal_concat: tuple[int, ...] = (2, 3, 4, 5)
    reduce_concat: tuple[int, ...] = (2, 3, 4, 5)
    layers: tuple[LayerChoice, ...] = ()

    def __post_init__(self) -> None:
        for kind in ("normal", "reduce"):
            edges = tuple((str(op), int(source)) for op, source in getattr(self, kind))
            object.__setattr__(self, kind, edges)
            _check_cell(kind, edges)
            concat = tuple(int(node) for node in getattr(self, f"{kind}_concat"))
            object.__setattr__(self, f"{kind}_concat", concat)
            if concat != (2, 3, 4, 5):
                raise ValueError(f"genotype: {kind}_concat must be (2, 3, 4, 5), got {concat}")
        if not 1 <= self.channels <= 1024:
            raise ValueError(f"genotype: channels must be from 1 to 1024, got {self.channels}")
        if not 1 <= self.cells <= 64:
            raise ValueError(f"genotype: cells must be from 1 to 64, got {self.cells}")
        names = [choice.layer for choice in self.layers]
        if len(set(names)) != len(names):
            raise ValueError("genotype: a layer has more than one choice")
        object.__setattr__(self, "layers", tuple(sorted(self.layers, key=attrgetter("layer"))))

    def choice(self, layer: str) -> LayerChoice | None:
        """Return the sparsity chosen for `layer`, or None where it is dense."""
        return next((choice for choice in self.layers if choice.layer == layer), None)

    def with_layers(self, layers: tuple[LayerChoice, ...]) -> "Genotype":
        """Return the same cells with other sparsity."""
        return replace(self, layers=layers)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; the cells in the DARTS tuple form."""
        return {
            "normal": [list(edge) for edge in self.normal],
            "normal_concat": list(self.normal_concat),
            "reduce": [list(edge) for edge in self.reduce],
            "reduce_concat": list(self.reduce_concat),
            "channels": self.channels,
            "cells": self.cells,
            "layers": [
                {"layer": c.layer, "pattern": c.pattern.value, "density": c.density}
                for c in self.layers
            ],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Genotype":
        """Build from plain JSON values; ValueError says what is wrong and what is allowed."""
        check_form(values, "a genotype of cells", _KEYS, _MORE_KEYS)
        check_integers(values, "channels", "cells")
        for kind in ("normal", "reduce"):
            check_edges(values[kind], kind)
            check_list(values.get(f"{kind}_concat", []), f"{kind}_concat", "nodes")
        check_choices(values.get("layers", []))
        try:
            return cls(
                normal=tuple((op, source) for op, source in values["normal"]),
                reduce=tuple((op, source) for op, source in values["reduce"]),
                channels=values["channels"],
                cells=values["cells"],
                normal_concat=tuple(values.get("normal_concat", (2, 3, 4, 5))),
                reduce_concat=tuple(values.get("reduce_concat", (2, 3, 4, 5))),
                layers=tuple(LayerChoice(**choice) for choice in values.get("layers", [])),
            )
        except TypeError as error:
            raise ValueError(f"genotype: malformed: {error}") from error

    def to_json(self) -> str:
        """Return canonical JSON: sorted keys, no spaces."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))


def _check_cell(kind: str, edges: tuple[Edge, ...]) -> None:
    if len(edges) != EDGES:
        raise ValueError(f"genotype: {kind} needs {EDGES} edges, got {len(edges)}")
    for index, (operation, source) in enumerate(edges):
        if operation not in OPERATIONS or operation == "none":
            allowed = [name for name in OPERATIONS if name != "none"]
            raise ValueError(
                f"genotype: {kind} edge {index}: unknown operation {operation!r}; allowed: {allowed}"
            )
        highest = index // 2 + 1
        if not 0 <= source <= highest:
            raise ValueError(
                f"genotype: {kind} edge {index}: input {source} is not from 0 to {highest}"
            )
