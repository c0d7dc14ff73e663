"""Does sparsity pay on this board? Every sparse row against its rivals without zeros.

The rivals are priced by the same table: the same operator dense by stock kernels, in float32 and in
int8, and a compacted one, dense with about as many weights in fewer channels. What the library fuses
into an operator (a ReLU on its input, a sum) is not added to the rival's price, so gains are rather
too small.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from latency.estimate.estimator import Price, PriceSource
from latency.estimate.families import family_of
from latency.estimate.lookup_table import TableEstimator
from latency.library_form import stock_rival
from latency.operator import Activation, OperatorKind, OperatorSpec, Regime
from latency.report.coverage import density_of, pattern_of
from latency.report.intervals import Z_90, Cost, geometric_mean, ratio_of
from latency.report.values import GainSummary, SparsityGain, SparsityReport
from latency.table import TableRow

_WEIGHTED = (OperatorKind.CONV, OperatorKind.LINEAR)
_SOURCES = tuple(PriceSource)  # the best first
# In the library's rows a ReLU or none cost the same and are one row; stock rows have either.
_SAME_COST = (Activation.NONE, Activation.RELU)


def sparsity_report(estimator: TableEstimator) -> SparsityReport:
    """Return what sparsity is worth for each sparse row, summed up by family and in one line."""
    gains = sorted(_gains(estimator), key=_summary_key)
    summaries = tuple(_summary(list(members)) for _, members in groupby(gains, key=_summary_key))
    return SparsityReport(verdict=_verdict(gains), summaries=summaries, gains=tuple(gains))


def _gains(estimator: TableEstimator) -> Iterator[SparsityGain]:
    for row in estimator.table.rows:
        if not _is_compared(row.spec):
            continue
        rival, price = _dense_price(estimator, row.spec)
        cost = Cost(ns=row.median_ns, spread_ns=row.spread_ns)
        dense = Cost(ns=price.ns, spread_ns=price.spread_ns)
        if cost.is_measurable and dense.is_measurable:
            yield _gain(estimator, row, rival, price)


def _gain(
    estimator: TableEstimator, row: TableRow, rival: OperatorSpec, price: Price
) -> SparsityGain:
    spec, cost = row.spec, Cost(ns=row.median_ns, spread_ns=row.spread_ns)
    ratio = ratio_of(Cost(ns=price.ns, spread_ns=price.spread_ns), cost, Z_90)
    compact = compacted(rival, density_of(spec))
    narrow = None if compact is None else estimator.price(compact)
    int8 = _int8_price(estimator, rival)
    return SparsityGain(
        operator=spec.label(),
        shape=rival.label(),
        family=_family(rival),
        regime=spec.regime,
        pattern=pattern_of(spec),
        density=density_of(spec),
        ns=row.median_ns,
        dense_ns=price.ns,
        dense_source=price.source.value,
        gain=ratio.value,
        gain_low=ratio.low,
        gain_high=ratio.high,
        compact="" if compact is None else compact.label(),
        compact_ns=None if narrow is None else narrow.ns,
        compact_source="" if narrow is None else narrow.source.value,
        compact_gain=None if narrow is None or narrow.ns <= 0 else narrow.ns / row.median_ns,
        int8_source="" if int8 is None else int8.source.value,
        int8_gain=None if int8 is None else int8.ns / row.median_ns,
    )


def compacted(dense: OperatorSpec, density: float) -> OperatorSpec | None:
    """Return the operator with fewer channels on both sides, and so about `density` of its weights.

    None where there is nothing to remove, or for grouped convolutions other than depthwise ones.
    """
    if density >= 1.0:
        return None
    if dense.is_depthwise:
        kept = max(1, round(dense.in_channels * density))
        if kept == 1:
            return None  # not a depthwise convolution any more
        return replace(dense, in_channels=kept, out_channels=kept, groups=kept)
    if dense.groups > 1:
        return None
    share = math.sqrt(density)
    return replace(
        dense,
        in_channels=max(1, round(dense.in_channels * share)),
        out_channels=max(1, round(dense.out_channels * share)),
    )


def _is_compared(spec: OperatorSpec) -> bool:
    """Whether the row is sparse, or dense by the library: the price of leaving stock kernels."""
    if spec.kind not in _WEIGHTED or spec.dtype != "float32":
        return False
    return pattern_of(spec) != "dense" or spec.regime is Regime.LIBRARY


def _dense_price(estimator: TableEstimator, spec: OperatorSpec) -> tuple[OperatorSpec, Price]:
    """Return the same operator dense by stock kernels, as it is best known, and its price."""
    return _best_known(estimator, stock_rival(spec))


def _int8_price(estimator: TableEstimator, dense: OperatorSpec) -> Price | None:
    """Return what the dense operator costs in int8; None where no int8 row tells of it."""
    if not any(row.spec.dtype == "int8" for row in estimator.table.rows):
        return None
    _, price = _best_known(estimator, replace(dense, dtype="int8"))
    return None if price.source is PriceSource.ASSUMED or price.ns <= 0 else price


def _best_known(estimator: TableEstimator, spec: OperatorSpec) -> tuple[OperatorSpec, Price]:
    """Return the operator with the activation in which it is best known, and its price."""
    same = _SAME_COST if spec.activation in _SAME_COST else (spec.activation,)
    forms = [replace(spec, activation=activation) for activation in (spec.activation, *same)]
    prices = [(form, estimator.price(form)) for form in dict.fromkeys(forms)]
    return min(prices, key=lambda found: _SOURCES.index(found[1].source))


def _family(dense: OperatorSpec) -> str:
    """Return operators that gain alike: kernels of another size are another family."""
    family = family_of(dense)
    return family if dense.kernel == 1 else f"{family} {dense.kernel}x{dense.kernel}"


def _summary_key(gain: SparsityGain) -> tuple[str, str, str, float]:
    return (gain.regime.value, gain.pattern, gain.family, gain.density)


def _summary(gains: Sequence[SparsityGain]) -> GainSummary:
    first = gains[0]
    compact = [gain.compact_gain for gain in gains if gain.compact_gain]
    int8 = [gain.int8_gain for gain in gains if gain.int8_gain]
    return GainSummary(
        family=first.family,
        regime=first.regime,
        pattern=first.pattern,
        density=first.density,
        operators=len(gains),
        gain=geometric_mean([gain.gain for gain in gains]),
        together=_together(gains),
        compact_gain=geometric_mean(compact) if compact else None,
        int8_gain=geometric_mean(int8) if int8 else None,
        faster=sum(gain.gain_low > 1.0 for gain in gains) / len(gains),
    )


def _together(gains: Sequence[SparsityGain]) -> float:
    return math.fsum(gain.dense_ns for gain in gains) / math.fsum(gain.ns for gain in gains)


def _verdict(gains: Sequence[SparsityGain]) -> str:
    sparse = [gain for gain in gains if gain.pattern != "dense"]
    if not sparse:
        return "not measured: the table has no sparse rows; zeros are priced as if they were dense"
    faster = sum(gain.gain_low > 1.0 for gain in sparse)
    best, together = max(sparse, key=lambda gain: gain.gain_low), _together(sparse)
    word = "yes" if together > 1.0 and 2 * faster > len(sparse) else "partly" if faster else "no"
    return (
        f"{word}: {faster} of {len(sparse)} sparse operators are faster than dense stock ones by "
        f"more than their interval, all together {together:.2f} times as fast; at best "
        f"{best.gain:.2f} times: {best.operator}"
    )
