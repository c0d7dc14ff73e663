"""Prices between rows of other channel counts: cost over channels has steps and cliffs.

Kernels work on whole blocks of channels. So from one step to the next nothing changes and then all
of it does; and a count that fills no block may fall back to a kernel that is many times as slow
(33 channels of a depthwise convolution took 7 times as long as 36 on x86-64, ONNX Runtime 1.32).
Where both are is found in the rows of a target, of which `channel_probes` are some, never assumed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from types import MappingProxyType

from latency.estimate.families import family_of
from latency.operator import OperatorKind, OperatorSpec
from latency.table import TableRow

BLOCKS = (32, 16, 8, 4, 2)  # channels that kernels take together, the coarsest first
_PROBED = (33, 34, 36, 37, 40, 41, 48, 49, 64)  # in each two neighbours one block size differs
_ODD = tuple(channels for channels in _PROBED if channels % 2)
_LEAST_CHANNELS = 8  # a stem has kernels of its own
_FLAT = 0.03  # rows within one step may differ by this, relative: noise of two measurements
_JUMP = 0.05  # ... and neighbouring steps must differ by more somewhere
_DROP = 0.15  # more channels that are cheaper by this: a block was not filled before

Point = tuple[int, TableRow]  # channels, and the row there
Line = Sequence[Point]  # rows that differ in these channels only, ascending


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A way to vary the channels of an operator, and what all operators along it share."""

    name: str  # in, out, depthwise, both
    shared: OperatorSpec  # the varied channels are a stand-in
    channels: int  # position on the axis


@dataclass(frozen=True, kw_only=True)
class Staircase:
    """How cost runs over the channels of one family, in one of its axes."""

    step: int = 1  # from one multiple to the next nothing changes
    block: int = 1  # other counts than its multiples are executed by a slower kernel

    def fills_blocks(self, channels: int) -> bool:
        """Return whether so many channels leave no block half empty."""
        return channels % self.block == 0


Staircases = Mapping[tuple[str, str], Staircase]  # by family and axis
NO_STAIRCASES: Staircases = MappingProxyType({})


@lru_cache(maxsize=8192)
def channel_axes(spec: OperatorSpec) -> tuple[Axis, ...]:
    """Return the ways in which the channels of an operator can vary."""
    if spec.kind in (OperatorKind.CONV, OperatorKind.LINEAR) and spec.groups == 1:
        out = replace(spec, out_channels=spec.block_filters or 1)
        return (
            Axis(name="out", shared=out, channels=spec.out_channels),
            Axis(name="in", shared=replace(spec, in_channels=1), channels=spec.in_channels),
        )
    if spec.kind is OperatorKind.CONV and not spec.groups == spec.in_channels == spec.out_channels:
        return ()
    merged = spec.inputs if spec.kind is OperatorKind.CONCAT else 1
    shared = replace(spec, in_channels=1, out_channels=merged, groups=1)
    name = "depthwise" if spec.groups > 1 else "both"
    return (Axis(name=name, shared=shared, channels=spec.in_channels),)


def channel_probes(operators: Iterable[OperatorSpec]) -> tuple[OperatorSpec, ...]:
    """Return operators that show the steps and blocks of a target, for each family of convolutions.

    Args:
        operators: the first convolution of each family is varied, dense; the most used first.
    """
    models: dict[str, OperatorSpec] = {}
    for spec in operators:
        of_image = spec.in_channels < _LEAST_CHANNELS
        if channel_axes(spec) and spec.kind is OperatorKind.CONV and not of_image:
            models.setdefault(family_of(spec), spec.dense())
    probes = [_with_channels(spec, n) for spec in models.values() for n in _PROBED]
    return tuple(dict.fromkeys(spec for pair in probes for spec in pair))


def is_probe(spec: OperatorSpec) -> bool:
    """Return whether an operator has a number of channels that only a probe would have."""
    return spec.in_channels in _ODD


def _with_channels(spec: OperatorSpec, channels: int) -> tuple[OperatorSpec, ...]:
    if spec.groups > 1:
        return (replace(spec, in_channels=channels, out_channels=channels, groups=channels),)
    return (replace(spec, out_channels=channels), replace(spec, in_channels=channels))


def fills_blocks(spec: OperatorSpec, staircases: Staircases) -> bool:
    """Return whether the channels of an operator leave no block half empty, in any axis."""
    family = family_of(spec)
    return all(
        staircases.get((family, axis.name), Staircase()).fills_blocks(axis.channels)
        for axis in channel_axes(spec)
    )


def find_staircases(rows: Iterable[TableRow]) -> Staircases:
    """Return steps and blocks by family and axis; those where cost just rises are absent."""
    by_family: dict[tuple[str, str], list[Line]] = {}
    for (axis, _), line in _lines(rows).items():
        by_family.setdefault((family_of(line[0][1].spec), axis), []).append(line)
    found = {}
    for key, lines in by_family.items():
        block = max(BLOCKS[::-1], key=lambda block: _explained_drops(lines, block))
        block = block if _explained_drops(lines, block) >= 2 else 1
        filled = [[point for point in line if point[0] % block == 0] for line in lines]
        step = next((step for step in BLOCKS if _is_step(filled, step)), 1)
        if (step, block) != (1, 1):
            found[key] = Staircase(step=step, block=block)
    return found


class ChannelPrices:
    """Prices of operators from rows that differ from them in channels only."""

    def __init__(self, rows: Iterable[TableRow]) -> None:
        rows = tuple(rows)
        self.staircases = find_staircases(rows)
        self._lines = _lines(rows)

    def price_ns(self, spec: OperatorSpec) -> tuple[float, float] | None:
        """Return cost and half width of its 90 % interval; None where no rows bracket it.

        Of several axes the one with the narrowest bracket is taken.
        """
        found = [bracket for axis in channel_axes(spec) if (bracket := self._along(axis, spec))]
        return min(found)[1:] if found else None

    def _along(self, axis: Axis, spec: OperatorSpec) -> tuple[float, float, float] | None:
        """Return ratio of the bracket's ends, cost and half width."""
        stairs = self.staircases.get((family_of(spec), axis.name), Staircase())
        filled = stairs.fills_blocks(axis.channels)
        at = _rounded(axis.channels, stairs.step)
        points = [
            (_rounded(n, stairs.step), row)
            for n, row in self._lines.get((axis.name, axis.shared), ())
            if stairs.fills_blocks(n) == filled
        ]
        below = max((p for p in points if p[0] <= at), key=lambda p: p[0], default=None)
        above = min((p for p in points if p[0] >= at), key=lambda p: p[0], default=None)
        if below is None or above is None:
            return None
        (low_at, low), (high_at, high) = below, above
        share = (at - low_at) / (high_at - low_at) if high_at > low_at else 0.0
        rise = high.median_ns - low.median_ns
        # Where no step was found a whole one may lie between the rows.
        half = max(low.spread_ns, high.spread_ns) + abs(rise) * 2 * share * (1 - share)
        cost = low.median_ns + share * rise
        return high_at / low_at, cost, half + _FLAT * cost


def _explained_drops(lines: Sequence[Line], block: int) -> int:
    """Return how often cost drops where a block becomes full; -1 if it also drops elsewhere."""
    explained = 0
    for line in lines:
        for (low, first), (high, second) in pairwise(line):
            if second.median_ns > (1 - _DROP) * first.median_ns:
                continue
            if low % block == 0 and high % block == 0:
                return -1
            explained += low % block != 0 and high % block == 0
    return explained


def _is_step(lines: Sequence[Line], step: int) -> bool:
    """Return whether rows within one step agree, and some that are a step apart do not."""
    pairs, jumps = 0, 0
    for line in lines:
        for (low, first), (high, second) in pairwise(line):
            rise = abs(second.median_ns / max(first.median_ns, 1.0) - 1.0)
            if _rounded(low, step) == _rounded(high, step):
                pairs += 1
                if rise > _FLAT:
                    return False
            jumps += rise > _JUMP
    return pairs >= 2 and jumps >= 1


def _rounded(channels: int, step: int) -> int:
    return -(-channels // step) * step


def _lines(rows: Iterable[TableRow]) -> dict[tuple[str, OperatorSpec], Line]:
    found: dict[tuple[str, OperatorSpec], list[Point]] = {}
    for row in rows:
        for axis in channel_axes(row.spec):
            found.setdefault((axis.name, axis.shared), []).append((axis.channels, row))
    return {key: sorted(line, key=lambda point: point[0]) for key, line in found.items()}
