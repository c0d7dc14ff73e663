"""A table for a device from the table of a similar one and few probes; drift found the same way.

Between similar targets operators are slower by a common factor, families of them by factors of
their own, and single operators a little more or less. So the logarithm of new over old cost is a
`ResidualField`: with few probes in a family its factor shrinks towards the common one, and what the
field does not know is in the spread of every row that is made. Old and new may be one device at two
times: then the factors are its drift.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from latency.estimate.design import choose_points
from latency.estimate.families import family_of
from latency.estimate.residual_field import (
    PRIOR_PARTS,
    ResidualField,
    covariance,
    likeliest_parts,
)
from latency.operator import OperatorSpec
from latency.table import TRANSFERRED, Calibration, LatencyTable, TableRow
from latency.target import Target

_FLOOR_NS = 50.0  # below, a ratio is noise
_Z90 = 1.645
_BELIEVED_MISS = 0.1  # of one operator beside its family
_LEAST_FAMILY = 0.1  # standard deviation of the factor of a family
_NOTABLE = 0.05  # a family whose factor surely differs from 1 by more has drifted


@dataclass(frozen=True, kw_only=True)
class FamilyScale:
    """By how much one family of operators is slower on the new target, with its 90 % interval."""

    family: str
    scale: float
    low: float
    high: float
    probes: int

    @property
    def drifted(self) -> bool:
        """Whether the scale is surely not 1: its whole interval is more than 5 % away."""
        return self.low > 1 + _NOTABLE or self.high < 1 - _NOTABLE


def choose_probes(table: LatencyTable, count: int) -> tuple[OperatorSpec, ...]:
    """Return the rows of a table that tell most about all others, the most telling first.

    Raises:
        ValueError: `count` is not from 1 to the number of rows.
    """
    if not 1 <= count <= len(table.rows):
        raise ValueError(f"probes: count must be from 1 to {len(table.rows)}, got {count}")
    specs = [row.spec for row in table.rows]
    families = [family_of(spec) for spec in specs]
    costs = np.array([_cost(row) for row in table.rows])
    # Each family has to be right by itself, those that cost more a little more so.
    names = sorted(set(families))
    shares = np.array([[name == family for family in families] for name in names]) * costs
    shares /= np.sqrt(shares.sum(axis=1, keepdims=True))
    field = covariance(specs, specs, PRIOR_PARTS)
    everything = np.ones(len(specs), dtype=bool)
    design = choose_points(shares, field, everything, limit=count)
    return tuple(specs[index] for index in design.chosen)


def transfer(
    table: LatencyTable, probes: Sequence[TableRow], target: Target, *, version: int
) -> LatencyTable:
    """Return the rows of `table` as they will be on `target`; those that were probed are kept.

    The calibration moves with the common scale, and no error is published: nothing was held out.

    Args:
        table: of a similar target, or of the same one before it changed.
        probes: measured on `target`, of operators that `table` has rows of.
        target: the new one.
        version: of the table that is made, on the new target.

    Raises:
        ValueError: no probe is a row of the table, or one is of another method.
    """
    field = _field(table, probes)
    measured = {row.spec: row for row in probes}
    means, deviations = field.at([row.spec for row in table.rows])
    rows = tuple(
        measured.get(row.spec) or _rescaled(row, float(mean), float(deviation))
        for row, mean, deviation in zip(table.rows, means, deviations, strict=True)
    )
    common = math.exp(float(np.average(means, weights=[_cost(row) for row in table.rows])))
    return replace(
        table,
        target=target,
        version=version,
        rows=rows,
        calibration=_moved(table.calibration, common),
        library=None if table.library is None else _moved(table.library, common),
        error=None,
        library_error=None,
    )


def family_scales(table: LatencyTable, probes: Sequence[TableRow]) -> tuple[FamilyScale, ...]:
    """Return by how much each family of a table has changed, by the probes; most changed first.

    Raises:
        ValueError: no probe is a row of the table.
    """
    field = _field(table, probes)
    counts = [family_of(row.spec) for row in probes]
    families: dict[str, list[TableRow]] = {}
    for row in table.rows:
        families.setdefault(family_of(row.spec), []).append(row)
    found = []
    for family, rows in families.items():
        mean, deviation = field.mean_of([row.spec for row in rows], [_cost(row) for row in rows])
        found.append(
            FamilyScale(
                family=family,
                scale=math.exp(mean),
                low=math.exp(mean - _Z90 * deviation),
                high=math.exp(mean + _Z90 * deviation),
                probes=counts.count(family),
            )
        )
    return tuple(sorted(found, key=lambda scale: -abs(math.log(scale.scale))))


def _field(table: LatencyTable, probes: Sequence[TableRow]) -> ResidualField:
    old = {row.spec: row for row in table.rows}
    strangers = [row.spec.label() for row in probes if row.spec not in old]
    if strangers or not probes:
        problem = (
            f"the table has no row of {'; '.join(strangers)}" if strangers else "there are none"
        )
        raise ValueError(f"probes: {problem}; take them from `choose_probes`")
    specs = [row.spec for row in probes]
    ratios = [math.log(_cost(row) / _cost(old[row.spec])) for row in probes]
    noises = [math.hypot(row.deviation, old[row.spec].deviation) for row in probes]
    parts = likeliest_parts(specs, ratios, shared=True, believed=_BELIEVED_MISS, noises=noises)
    # One changed family among twenty hardly moves the likelihood, and must not be shrunk away.
    parts = replace(parts, family=max(parts.family, _LEAST_FAMILY))
    return ResidualField(specs, ratios, parts, noises)


def _rescaled(row: TableRow, mean: float, deviation: float) -> TableRow:
    cost = row.median_ns * math.exp(mean)
    half = abs(cost) * math.expm1(_Z90 * deviation)
    return replace(
        row,
        median_ns=cost,
        spread_ns=math.hypot(half, row.spread_ns * math.exp(mean)),
        method=TRANSFERRED,
    )


def _moved(calibration: Calibration, common: float) -> Calibration:
    return replace(calibration, intercept_ns=calibration.intercept_ns * common)


def _cost(row: TableRow) -> float:
    return max(row.median_ns, _FLOOR_NS)
