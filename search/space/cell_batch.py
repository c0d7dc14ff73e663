"""CellEncoder: genotypes of cells as the operators that they are executed as, many at a time."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from latency.estimate.price_book import NOTHING, PriceBook
from latency.graph import NetworkGraph
from search.space.cell_encoding import EDGE_LAYERS, CellEncoding, EncodedCells
from search.space.cell_interactions import INPUTS, CellInteractions, cell_interactions
from search.space.cell_variants import CellSize, CellVariants
from search.space.dass_cells import CellPlan, build_graph
from search.space.genotype import Genotype
from search.space.sparsity import Sparsity, with_sparsity

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_LAYERS = np.arange(EDGE_LAYERS)


class CellEncoder:
    """Encodes genotypes of one size for one task.

    Args:
        book: where positions are.
        size: width, depth and task.
        sparsity: what is planned for layers without a choice of their own; None leaves them dense.
    """

    def __init__(self, book: PriceBook, size: CellSize, sparsity: Sparsity | None) -> None:
        self.book = book
        self._size, self._sparsity = size, sparsity
        self._encoding = CellEncoding(size.channels, size.plans)
        self._regimes = {
            regime: _Positions(
                self._encoding, size.plans, CellVariants(book, size, sparsity, regime)
            )
            for regime in book.regimes
        }

    def graph(self, genotype: Genotype) -> NetworkGraph:
        """Return the network, in the stock regime, as sparse as chosen and planned."""
        graph = build_graph(genotype, self._size.task)
        return graph if self._sparsity is None else with_sparsity(graph, self._sparsity)

    def positions(self, genotypes: Sequence[Genotype]) -> tuple[Flags, list[Ints]]:
        """Return which genotypes are encoded, and positions (N, operators) for each regime."""
        encoded = self._encoding.encode(genotypes)
        interactions = [
            cell_interactions(encoded.edges[:, kind], reduction=bool(kind)) for kind in (0, 1)
        ]
        found = [regime.of(encoded, interactions) for regime in self._regimes.values()]
        return encoded.regular, found


class _Positions:
    """The positions of encoded genotypes in one regime."""

    def __init__(
        self,
        encoding: CellEncoding,
        plans: Sequence[CellPlan],
        variants: CellVariants,
    ) -> None:
        self._encoding, self._variants = encoding, variants
        self._always = variants.always()
        self._cells = [[plan for plan in plans if plan.reduction == bool(k)] for k in (0, 1)]
        self._sums = {plan: variants.sum_of_two(plan) for plan in plans}
        self._pools = {plan: variants.pools(plan) for plan in plans}
        self._relus = {plan: variants.relus(plan) for plan in plans}

    def of(self, encoded: EncodedCells, interactions: Sequence[CellInteractions]) -> Ints:
        """Return (N, operators)."""
        count = len(encoded.regular)
        parts = [np.broadcast_to(self._always, (count, len(self._always)))]
        for variants, layer in ((self._variants.stem, -2), (self._variants.classifier, -1)):
            chosen = encoded.patterns[:, layer], encoded.densities[:, layer]
            parts.append(variants.positions([0], *chosen))
        for kind, found in enumerate(interactions):
            if not self._cells[kind]:
                continue
            cells = np.array([plan.index for plan in self._cells[kind]])
            parts.append(self._edges(encoded, found, cells, kind))
            parts.append(self._inputs(encoded, found, cells))
            parts += [self._weightless(found, plan) for plan in self._cells[kind]]
        return np.concatenate([part.reshape(count, -1) for part in parts], axis=1)

    def _edges(
        self, encoded: EncodedCells, found: CellInteractions, cells: Ints, kind: int
    ) -> Ints:
        """Return (N, cells, 8, 4)."""
        sources = encoded.sources[:, kind]
        rows = encoded.rows[:, kind]
        rectifies, takes = (
            np.take_along_axis(flags, rows, axis=1) > 0.5 for flags in (found.rectifies, found.free)
        )
        digits = [
            cells[:, None, None],
            ((sources < INPUTS) & bool(kind))[:, None, :, None],
            encoded.operations[:, kind, None, :, None],
            encoded.widths[:, cells, :, None],
            rectifies[:, None, :, None],
            takes[:, None, :, None],
            _LAYERS,
        ]
        layers = self._encoding.edge_layers
        chosen = layers(encoded.patterns)[:, cells], layers(encoded.densities)[:, cells]
        return self._variants.edges.positions(digits, *chosen)

    def _inputs(self, encoded: EncodedCells, found: CellInteractions, cells: Ints) -> Ints:
        """Return (N, cells, 2)."""
        digits = [
            cells[:, None],
            np.arange(INPUTS),
            (found.read_plain < 0.5)[:, None, :],
            (found.input_takes > 0.5)[:, None, :],
        ]
        layers = self._encoding.input_layers
        chosen = layers(encoded.patterns)[:, cells], layers(encoded.densities)[:, cells]
        return self._variants.inputs.positions(digits, *chosen)

    def _weightless(self, found: CellInteractions, plan: CellPlan) -> Ints:
        """Return (N, operators): sums, pools, ReLUs of one cell; what is not executed is nothing."""
        pools = np.where(found.pools > 0.5, self._pools[plan], NOTHING)
        relus = np.where(found.relus > 0.5, self._relus[plan], NOTHING)
        sums = np.where(found.sums > 0.5, self._sums[plan], NOTHING)
        return np.concatenate([sums, pools.reshape(len(pools), -1), relus], axis=1)
