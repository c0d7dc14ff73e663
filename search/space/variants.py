"""Variants: operators by number, with the positions of their prices at any density.

A number is a mixed radix of what decides which operator it is. An operator is looked up when it is
first asked for.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from latency.estimate.price_book import DENSITY_STEPS, NOTHING, PriceBook
from latency.operator import OperatorSpec
from search.space.dass_cells import MERGED_KERNEL
from search.space.sparsity import LAYER_PATTERNS, MERGED_SHARE

Ints = npt.NDArray[np.int64]

# What a chosen density counts for: nothing where another is planned, itself, or the share of the
# merged kernel that are weights. By Python's own rounding, which OperatorSpec uses.
_IGNORED, _WHOLE, _SHARE = range(3)
_LEVELS = np.array(
    [
        [0] * (DENSITY_STEPS + 1),
        range(DENSITY_STEPS + 1),
        [
            round(round(MERGED_SHARE * (step / DENSITY_STEPS), 4) * DENSITY_STEPS)
            for step in range(DENSITY_STEPS + 1)
        ],
    ]
).ravel()
_LEVEL = DENSITY_STEPS + 1  # from one level to the next


class Variants:
    """Positions of operators by their number and density.

    Args:
        book: where positions are.
        shape: how many values each digit of a number has.
        dense: the dense operator of a number's digits, or None where there is none.
        planned: gives an operator what is planned for it beside what is chosen.
    """

    def __init__(
        self,
        book: PriceBook,
        shape: Sequence[int],
        dense: Callable[..., OperatorSpec | None],
        planned: Callable[[OperatorSpec], OperatorSpec],
    ) -> None:
        self._book, self._shape = book, (*shape, len(LAYER_PATTERNS))
        self._dense, self._planned = dense, planned
        self._base = np.full(self._shape, -1).ravel()
        self._level = np.zeros(self._shape, dtype=np.int64).ravel()  # where a level begins
        strides = np.cumprod((*self._shape[1:], 1)[::-1])[::-1]
        self._strides = [int(stride) for stride in strides]

    def positions(self, digits: Sequence[npt.ArrayLike], patterns: Ints, densities: Ints) -> Ints:
        """Return positions in the book; digits, patterns and densities broadcast."""
        numbers = self._numbers([*map(np.asarray, digits), patterns])
        base = self._base[numbers]
        if base.min(initial=0) < 0:
            for number in np.unique(numbers[base < 0]).tolist():
                self._find(number)
            base = self._base[numbers]
        found: Ints = base + _LEVELS[self._level[numbers] + densities]
        return found

    def _numbers(self, digits: Sequence[npt.NDArray[Any]]) -> Ints:
        """Return the numbers of digits that broadcast, those of few values added up first."""
        terms = (
            digit * np.int64(stride) for digit, stride in zip(digits, self._strides, strict=True)
        )
        first, *others = sorted(terms, key=attrgetter("size"))
        return sum(others, start=first)

    def _find(self, number: int) -> None:
        *digits, pattern = (int(digit) for digit in np.unravel_index(number, self._shape))
        dense = self._dense(*digits)
        if dense is None:
            self._base[number] = NOTHING
            return
        chosen = replace(dense, pattern=LAYER_PATTERNS[pattern]) if pattern else dense
        planned = self._planned(chosen)
        if planned == chosen and pattern:
            self._base[number] = self._book.position(chosen) - DENSITY_STEPS
            level = _SHARE if dense.kernel == MERGED_KERNEL else _WHOLE
            self._level[number] = level * _LEVEL
        else:
            self._base[number] = self._book.position(planned)
