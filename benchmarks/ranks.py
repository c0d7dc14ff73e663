"""How well one list of numbers ranks what another measures."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the correlation of the ranks, equal numbers sharing theirs; 0 where all are equal."""
    first, second = (_ranks(np.asarray(values)) for values in (one, other))
    if not first.std() or not second.std():
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def kendall(one: Sequence[float], other: Sequence[float]) -> float:
    """Return tau-b: pairs in the same order less those in the other one, of those without ties."""
    first, second = (_signs(np.asarray(values)) for values in (one, other))
    untied = np.sqrt(np.abs(first).sum() * np.abs(second).sum())
    return float((first * second).sum() / untied) if untied else 0.0


def _ranks(values: npt.NDArray[np.float64]) -> Floats:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    means: Floats = (last - (counts - 1) / 2)[inverse]
    return means


def _signs(values: npt.NDArray[np.float64]) -> Floats:
    signs: Floats = np.sign(values[:, None] - values[None, :])
    return signs
