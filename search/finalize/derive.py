"""From architecture parameters to a genotype, by the rule of DARTS.

Liu et al., arXiv 1806.09055, section 2.4: each edge keeps its best operation other than `none`,
each node keeps its two best edges.
"""

import numpy as np
from numpy.typing import NDArray

from search.space.cell_interactions import MIXED_EDGES
from search.space.genotype import NODES, Edge, Genotype
from search.space.primitives import OPERATIONS

NONE = OPERATIONS.index("none")

Alphas = NDArray[np.float64]  # (14, 8): rows as MIXED_EDGES, columns as OPERATIONS


def derive_genotype(normal: Alphas, reduce: Alphas, *, channels: int, cells: int) -> Genotype:
    """Return the discrete network of the architecture parameters, dense and at full width.

    Raises:
        ValueError: a table has not the shape (14, 8) or is not finite.
    """
    return Genotype(
        normal=_derive_cell(normal), reduce=_derive_cell(reduce), channels=channels, cells=cells
    )


def log_probabilities(alphas: Alphas) -> Alphas:
    """Return the log of the softmax over the operations of each edge.

    Raises:
        ValueError: the table has not the shape (14, 8) or is not finite.
    """
    shape = (len(MIXED_EDGES), len(OPERATIONS))
    if alphas.shape != shape or not np.isfinite(alphas).all():
        raise ValueError(f"derive: architecture parameters must be finite and {shape}")
    shifted = alphas - alphas.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def _derive_cell(alphas: Alphas) -> tuple[Edge, ...]:
    scores = log_probabilities(alphas)
    scores[:, NONE] = -np.inf
    edges: list[Edge] = []
    for node in range(NODES):
        rows = [row for row, (end, _) in enumerate(MIXED_EDGES) if end == node]
        # A stable sort: of equal edges the one from the earlier state is kept.
        best = sorted(rows, key=lambda row: -float(scores[row].max()))[:2]
        edges += [
            (OPERATIONS[int(scores[row].argmax())], MIXED_EDGES[row][1]) for row in sorted(best)
        ]
    return tuple(edges)
