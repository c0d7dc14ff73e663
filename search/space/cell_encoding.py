"""Genotypes of cells as arrays: which edges exist, how wide and how sparse their layers are.

Axes: N genotypes, 2 kinds of cell (normal, reduction), 8 edges of a genotype, L layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, product
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from latency.estimate.price_book import DENSITY_STEPS
from latency.operator import SparsityPattern
from search.space.cell_interactions import MIXED_EDGES
from search.space.dass_cells import DILATED, SEPARABLE, WIDTH_STEPS, CellPlan
from search.space.genotype import EDGES, Genotype
from search.space.primitives import OPERATIONS
from search.space.sparsity import LAYER_PATTERNS

EDGE_LAYERS = 4  # at most, of one operation; the last one always makes its output
FULL_WIDTH = len(WIDTH_STEPS) - 1

_CHANNEL = len(LAYER_PATTERNS)
_OTHER = _CHANNEL + 1  # a pattern that no layer of a stock network has
# By identity, because hashing an enumeration's member runs Python code.
_PATTERN_OF = (
    dict.fromkeys(map(id, SparsityPattern), _OTHER)
    | {id(pattern): index for index, pattern in enumerate(LAYER_PATTERNS)}
    | {id(SparsityPattern.CHANNEL): _CHANNEL}
)
_UNKNOWN = -1
_LAYER, _PATTERN, _DENSITY = map(attrgetter, ("layer", "pattern", "density"))
_SOURCES = 8  # more than an edge can read from
_EDGE_CODE = {
    (operation, source): column * _SOURCES + source
    for column, operation in enumerate(OPERATIONS)
    for source in range(_SOURCES)
}
_FIRST_ROW = np.array([MIXED_EDGES.index((index // 2, 0)) for index in range(EDGES)])

# Whose layer it is: an edge has layers of one of these only.
_OWNERS = 4
_ALWAYS, _SEPARABLE, _DILATED, _SKIP = range(_OWNERS)
_OWNER = np.array(
    [
        _SEPARABLE if name in SEPARABLE else _DILATED if name in DILATED else _SKIP
        for name in OPERATIONS
    ]
)
_EDGE_LAYERS = {
    ".depthwise1": (_SEPARABLE, 0),
    ".pointwise1": (_SEPARABLE, 1),
    ".depthwise2": (_SEPARABLE, 2),
    ".pointwise2": (_SEPARABLE, 3),
    ".depthwise": (_DILATED, 0),
    ".pointwise": (_DILATED, 3),
    "": (_SKIP, 3),  # a factorized reduce
}
_NO_SKIP_LAYER = tuple(OPERATIONS.index(name) for name in ("max_pool_3x3", "avg_pool_3x3"))

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class EncodedCells:
    """N genotypes of one size. Where `regular` is false the rest means nothing."""

    regular: Flags  # (N,)
    operations: Ints  # (N, 2, 8): columns of OPERATIONS
    sources: Ints  # (N, 2, 8)
    edges: Floats  # (N, 2, 14, 8): the encoding of CellInteractions
    widths: Ints  # (N, cells, 8): index into WIDTH_STEPS
    patterns: Ints  # (N, L): index into LAYER_PATTERNS
    densities: Ints  # (N, L): in 1 / DENSITY_STEPS

    @property
    def rows(self) -> Ints:
        """Row of MIXED_EDGES of each edge, (N, 2, 8)."""
        found: Ints = self.sources + _FIRST_ROW
        return found


class CellEncoding:
    """Encodes genotypes of one size.

    The L layers are four for each edge of each cell, then the two inputs of each cell, then stem
    and classifier.
    """

    def __init__(self, channels: int, plans: Sequence[CellPlan]) -> None:
        self._size = (channels, len(plans))
        self._plans = plans
        self.num_layers = len(plans) * (EDGES * EDGE_LAYERS + 2) + 2
        self._layers = self._layer_index()

    def edge_layers(self, patterns_or_densities: Ints) -> Ints:
        """Return the part (N, cells, 8, 4) of edges of an array (N, L)."""
        cells = len(self._plans)
        part = patterns_or_densities[:, : cells * EDGES * EDGE_LAYERS]
        return part.reshape(-1, cells, EDGES, EDGE_LAYERS)

    def input_layers(self, patterns_or_densities: Ints) -> Ints:
        """Return the part (N, cells, 2) of cell inputs of an array (N, L)."""
        return patterns_or_densities[:, -2 * len(self._plans) - 2 : -2].reshape(
            -1, len(self._plans), 2
        )

    def encode(self, genotypes: Sequence[Genotype]) -> EncodedCells:
        """Return the genotypes as arrays; irregular is what the formula cannot hold.

        That is: another size, edges of a node that read one state or the later state first, and
        choices for layers that are not there, which no graph can be built for either.
        """
        count = len(genotypes)
        operations, sources = _edge_arrays(genotypes)
        ordered = (sources[..., ::2] < sources[..., 1::2]).all(axis=(1, 2))
        fits = np.array([(g.channels, g.cells) == self._size for g in genotypes])
        found = EncodedCells(
            regular=ordered & fits,
            operations=operations,
            sources=sources,
            edges=_encoded(operations, sources),
            widths=np.full((count, len(self._plans), EDGES), FULL_WIDTH),
            patterns=np.zeros((count, self.num_layers), dtype=np.int64),
            densities=np.full((count, self.num_layers), DENSITY_STEPS),
        )
        self._set_layers(found, genotypes)
        return found

    def _set_layers(self, found: EncodedCells, genotypes: Sequence[Genotype]) -> None:
        """Write the choices of all layers; genotypes with one that is not there are irregular."""
        lengths = [len(genotype.layers) for genotype in genotypes]
        if not any(lengths):
            return
        network = np.repeat(np.arange(len(genotypes)), lengths)
        # Mapped by built-in functions, all of one genotype while its choices are in the cache: a
        # batch has half a million of them.
        layers: list[int] = []
        patterns: list[int] = []
        densities: list[float] = []
        for genotype in genotypes:
            choices = genotype.layers
            layers.extend(map(self._layers.__getitem__, map(_LAYER, choices)))
            patterns.extend(map(_PATTERN_OF.__getitem__, map(id, map(_PATTERN, choices))))
            densities.extend(map(_DENSITY, choices))
        layer, pattern = (np.fromiter(codes, np.int64, len(codes)) for codes in (layers, patterns))
        density = np.fromiter(densities, np.float64, len(densities))
        width = pattern == _CHANNEL
        self._write_widths(found, network[width], layer[width], density[width])
        network, layer, pattern = network[~width], layer[~width], pattern[~width]
        step = np.rint(density[~width] * DENSITY_STEPS).astype(np.int64)
        self._write_layers(found, network, layer, pattern, step)

    def _write_layers(
        self, found: EncodedCells, network: Ints, layer: Ints, pattern: Ints, step: Ints
    ) -> None:
        index, owner = np.divmod(layer, _OWNERS)
        known = (layer >= 0) & (pattern < _CHANNEL)
        of_edge = known & (owner != _ALWAYS)
        known[of_edge] = self._owners(found, network[of_edge], index[of_edge]) == owner[of_edge]
        found.regular[network[~known]] = False
        network, index = network[known], index[known]
        found.patterns[network, index] = pattern[known]
        found.densities[network, index] = step[known]

    def _write_widths(
        self, found: EncodedCells, network: Ints, layer: Ints, density: Floats
    ) -> None:
        """Write middle widths; they are chosen under the name of the edge, as a skip's layer is."""
        index, owner = np.divmod(layer, _OWNERS)
        width = density[:, None] == np.array(WIDTH_STEPS)
        known = (layer >= 0) & (owner == _SKIP) & width.any(axis=1)
        known[known] = self._owners(found, network[known], index[known]) == _SEPARABLE
        found.regular[network[~known]] = False
        widths = found.widths.reshape(len(found.widths), -1)
        widths[network[known], index[known] // EDGE_LAYERS] = width[known].argmax(axis=1)

    def _owners(self, found: EncodedCells, network: Ints, index: Ints) -> Ints:
        """Return whose layers the edges have to which these layers belong; -1 for none."""
        cell, edge = np.divmod(index // EDGE_LAYERS, EDGES)
        reduction = np.array([plan.reduction for plan in self._plans])[cell].astype(int)
        operation = found.operations[network, reduction, edge]
        halved = (reduction == 1) & (found.sources[network, reduction, edge] < 2)
        owner: Ints = np.where((_OWNER[operation] == _SKIP) & ~halved, -1, _OWNER[operation])
        return np.where(np.isin(operation, _NO_SKIP_LAYER), -1, owner)

    def _layer_index(self) -> dict[str, int]:
        """Return index * _OWNERS + owner of each layer by its name."""
        found = {"stem.conv": self.num_layers - 2, "classifier": self.num_layers - 1}
        inputs = len(self._plans) * EDGES * EDGE_LAYERS
        for plan in self._plans:
            path, first = f"cells.{plan.index}", inputs + 2 * plan.index
            reduced = "" if plan.after_reduction else ".conv"
            found[f"{path}.preprocess0{reduced}"] = first
            found[f"{path}.preprocess1.conv"] = first + 1
        codes = {name: index * _OWNERS + _ALWAYS for name, index in found.items()}
        for plan, edge in product(self._plans, range(EDGES)):
            start = (plan.index * EDGES + edge) * EDGE_LAYERS
            for suffix, (owner, layer) in _EDGE_LAYERS.items():
                name = f"cells.{plan.index}.edges.{edge}{suffix}"
                codes[name] = (start + layer) * _OWNERS + owner
        return _Codes(codes)


class _Codes(dict[str, int]):
    """Codes of layers by name; names of other layers have one too, that of the unknown."""

    def __missing__(self, _name: str) -> int:
        return _UNKNOWN


def encode_edges(genotypes: Sequence[Genotype]) -> Floats:
    """Return (N, 2, 14, 8): 1 where an edge exists with an operation; normal cells first."""
    return _encoded(*_edge_arrays(genotypes))


def _edge_arrays(genotypes: Sequence[Genotype]) -> tuple[Ints, Ints]:
    """Return columns of OPERATIONS and sources, (N, 2, 8) each."""
    edges = chain.from_iterable(g.normal + g.reduce for g in genotypes)
    codes = np.array(list(map(_EDGE_CODE.__getitem__, edges)))
    operations, sources = np.divmod(codes.reshape(-1, 2, EDGES), _SOURCES)
    return operations, sources


def _encoded(operations: Ints, sources: Ints) -> Floats:
    # Genotypes are the innermost axis in memory: the formula goes through all of them edge by edge.
    places = np.zeros((2, len(MIXED_EDGES), len(OPERATIONS), len(operations)))
    edges: Floats = np.moveaxis(places, -1, 0)
    network, kind = np.arange(len(operations))[:, None, None], np.arange(2)[:, None]
    edges[network, kind, sources + _FIRST_ROW, operations] = 1.0
    return edges
