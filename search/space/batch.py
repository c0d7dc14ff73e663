"""Predictions of many genotypes at once, equal to those of their graphs one by one.

A space says which operators its genotypes are executed as, as positions in a PriceBook; the rest
is the same for all spaces. What a space cannot encode is predicted from its graph.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from latency.estimate.calibrated import calibrated_ns
from latency.estimate.estimator import Prediction, PriceSource
from latency.estimate.lookup_table import TableEstimator
from latency.estimate.price_book import PriceBook
from latency.graph import NetworkGraph
from latency.operator import Regime
from latency.units import NS_PER_MS

_CHUNK = 512  # genotypes whose arrays fit into a second-level cache

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

G = TypeVar("G")
G_contra = TypeVar("G_contra", contravariant=True)


@dataclass(frozen=True, kw_only=True)
class BatchPrediction:
    """Latencies of N networks with their 90 % intervals; arrays (N,)."""

    table_version: int
    target_fingerprint: str
    latency_ms: Floats
    low_ms: Floats
    high_ms: Floats
    sources: Ints  # (N, number of sources): operators by source of price, as PriceSource counts
    library: Flags  # fastest in the regime of the library

    def __len__(self) -> int:
        return len(self.latency_ms)

    def prediction(self, index: int) -> Prediction:
        """Return one of them as a value of its own."""
        counts = zip(PriceSource, self.sources[index].tolist(), strict=True)
        return Prediction(
            latency_ms=float(self.latency_ms[index]),
            low_ms=float(self.low_ms[index]),
            high_ms=float(self.high_ms[index]),
            **{source.value: count for source, count in counts},
            regime=Regime.LIBRARY if self.library[index] else Regime.STOCK,
            table_version=self.table_version,
            target_fingerprint=self.target_fingerprint,
        )


class Encoder(Protocol[G_contra]):
    """The genotypes of a space as the operators that they are executed as."""

    @property
    def book(self) -> PriceBook:
        """Where positions are."""
        ...

    def graph(self, genotype: G_contra) -> NetworkGraph:
        """Return the network, in the stock regime, as sparse as it will be."""
        ...

    def positions(self, genotypes: Sequence[G_contra]) -> tuple[Flags, list[Ints]]:
        """Return which genotypes are encoded, and positions (N, operators) for each regime.

        Regimes are those of the book. Positions of what cannot be encoded mean nothing.
        """
        ...


class BatchPredictor(Generic[G]):
    """Predicts genotypes of one space from one table; keeps the prices that it has looked up."""

    def __init__(self, estimator: TableEstimator, encoder: Encoder[G]) -> None:
        self._estimator, self._encoder = estimator, encoder
        self._book = encoder.book

    def graph(self, genotype: G) -> NetworkGraph:
        """Return the network that is predicted, in the stock regime, as sparse as it will be."""
        return self._encoder.graph(genotype)

    def predict(self, genotypes: Sequence[G]) -> BatchPrediction:
        """Return the latency of each genotype in its fastest regime.

        Raises:
            ValueError: the table has no rows, or a genotype is no network; there is no genotype.
        """
        if not genotypes:
            raise ValueError("predictions: there is no genotype to predict")
        starts = range(0, len(genotypes), _CHUNK)
        return _joined([self._chunk(genotypes[start : start + _CHUNK]) for start in starts])

    def _chunk(self, genotypes: Sequence[G]) -> BatchPrediction:
        encoded, positions = self._encoder.positions(genotypes)
        alone = {
            index: self._from_graph(genotypes[index]) for index in np.flatnonzero(~encoded).tolist()
        }
        if not encoded.any():
            return _joined(list(alone.values()))
        forms = [
            self._form(regime, found[encoded])
            for regime, found in zip(self._book.regimes, positions, strict=True)
        ]
        found = _fastest(forms)
        order = np.argsort(np.concatenate([np.flatnonzero(encoded), list(alone)]))
        return _reordered(_joined([found, *alone.values()]), order) if alone else found

    def _form(self, regime: Regime, positions: Ints) -> BatchPrediction:
        sums = self._book.sums(positions)
        calibration = self._estimator.table.calibration_of(regime)
        latency, low, high = calibrated_ns(calibration, sums.total_ns, sums.spread_ns)
        return BatchPrediction(
            table_version=self._estimator.table.version,
            target_fingerprint=self._estimator.table.target.fingerprint,
            latency_ms=latency / NS_PER_MS,
            low_ms=low / NS_PER_MS,
            high_ms=high / NS_PER_MS,
            sources=sums.sources,
            library=np.full(len(latency), regime is Regime.LIBRARY),
        )

    def _from_graph(self, genotype: G) -> BatchPrediction:
        one = self._estimator.predict(self.graph(genotype))
        return BatchPrediction(
            table_version=self._estimator.table.version,
            target_fingerprint=self._estimator.table.target.fingerprint,
            latency_ms=np.array([one.latency_ms]),
            low_ms=np.array([one.low_ms]),
            high_ms=np.array([one.high_ms]),
            sources=np.array([[getattr(one, source.value) for source in PriceSource]]),
            library=np.array([one.regime is Regime.LIBRARY]),
        )


_FIELDS = ("latency_ms", "low_ms", "high_ms", "sources", "library")


def _joined(parts: Sequence[BatchPrediction]) -> BatchPrediction:
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _FIELDS}
    first = parts[0]
    return BatchPrediction(
        table_version=first.table_version, target_fingerprint=first.target_fingerprint, **arrays
    )


def _reordered(batch: BatchPrediction, order: Ints) -> BatchPrediction:
    arrays = {name: getattr(batch, name)[order] for name in _FIELDS}
    return BatchPrediction(
        table_version=batch.table_version, target_fingerprint=batch.target_fingerprint, **arrays
    )


def _fastest(forms: Sequence[BatchPrediction]) -> BatchPrediction:
    """Return each network in the form that is fastest, the first where two are equal."""
    best = np.argmin([form.latency_ms for form in forms], axis=0)
    count = len(best)
    return _reordered(_joined(forms), best * count + np.arange(count))
