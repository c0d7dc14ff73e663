"""ResidualField: what a formula misses, as a smooth function of the operator, with its uncertainty.

Costs relative to a formula are similar for similar operators: of all operators of a device a
little, of a family more, of neighbours in shape and density most. So their logarithms are taken
for a Gaussian process with these parts (Rasmussen and Williams, "Gaussian Processes for Machine
Learning", chapter 2):

    residual = common + of the family + of the neighbourhood + noise

The sizes of the parts are those that make the known residuals likeliest, found one at a time on a
grid. The variance does not depend on the values that are measured, so it also says where to measure.
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

from latency.estimate.families import family_of
from latency.operator import OperatorSpec, SparsityPattern

Array = npt.NDArray[np.float64]

# How far apart two operators are, in units in which a neighbourhood is about one wide.
_PER_OCTAVE = 0.5  # of channels, pixels, density
_PER_WINDOW_STEP = 0.5  # of kernel, stride, dilation
_PER_FUSION = 0.5  # ReLU on the input, a tensor added, an activation
_PER_PATTERN = 1.0


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Standard deviations of the parts of a residual, in natural logarithms."""

    common: float
    family: float
    local: float
    noise: float

    @property
    def variance(self) -> float:
        """Of a residual before anything is known, without noise."""
        return self.common**2 + self.family**2 + self.local**2


# Believed before anything is measured: a formula for a device is wrong by a factor of 1.9, for a
# family of it by 1.5, for one operator beside its family by 1.35 (one standard deviation each).
PRIOR_PARTS = Parts(common=0.65, family=0.4, local=0.3, noise=0.02)
_SIZES = (0.02, 0.05, 0.1, 0.2, 0.5)
_NOISES = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
_BELIEF = 8.0  # how many residuals the belief of their size weighs
_PASSES = 3  # over the parts, one at a time


class ResidualField:
    """The residuals of some operators, and through them those of all others.

    Args:
        specs: operators whose residuals are known; may be empty.
        residuals: logarithm of cost over the formula, of each.
        parts: sizes of the parts.
        noises: standard deviation of each known residual beside `parts.noise`: how well its rows
            are known. None: not at all worse.
    """

    def __init__(
        self,
        specs: Sequence[OperatorSpec],
        residuals: Sequence[float],
        parts: Parts,
        noises: Sequence[float] | None = None,
    ) -> None:
        self.parts = parts
        self._known = _Places.of(specs)
        self._residuals = np.array(residuals, dtype=float)
        covariance_ = _covariance(self._known, self._known, parts)
        self._own = np.zeros(len(specs)) if noises is None else np.square(np.array(noises))
        self._inverse = np.linalg.inv(covariance_ + _noise(parts, len(specs), noises))

    def at(self, specs: Sequence[OperatorSpec]) -> tuple[Array, Array]:
        """Return mean and standard deviation of the residual of each operator, noise included."""
        cross = _covariance(_Places.of(specs), self._known, self.parts)
        weights = cross @ self._inverse
        variance = self.parts.variance - np.einsum("ij,ij->i", weights, cross)
        return weights @ self._residuals, np.sqrt(np.maximum(variance, 0.0) + self.parts.noise**2)

    def mean_of(
        self, specs: Sequence[OperatorSpec], weights: Sequence[float]
    ) -> tuple[float, float]:
        """Return the weighted mean residual of some operators and its standard deviation."""
        share = np.array(weights) / np.sum(weights)
        places = _Places.of(specs)
        cross = share @ _covariance(places, self._known, self.parts)
        prior = share @ _covariance(places, places, self.parts) @ share
        told = cross @ self._inverse
        return float(told @ self._residuals), math.sqrt(max(0.0, float(prior - told @ cross)))

    def settled(self) -> tuple[Array, Array]:
        """Return mean and standard deviation of each known residual, by its own rows and the others.

        A residual without noise of its own stays what it is; the noisier it is, the more the
        others decide.
        """
        moved = self._own * (self._inverse @ self._residuals)
        variance = self._own - self._own**2 * np.diag(self._inverse)
        return self._residuals - moved, np.sqrt(np.maximum(variance, 0.0))

    def left_out(self) -> tuple[Array, Array]:
        """Return, for each known operator, what the others say: mean and standard deviation.

        In closed form (Rasmussen and Williams, section 5.4.2).
        """
        precision = np.diag(self._inverse)
        return self._residuals - self._inverse @ self._residuals / precision, 1 / np.sqrt(precision)


def likeliest_parts(
    specs: Sequence[OperatorSpec],
    residuals: Sequence[float],
    *,
    shared: bool,
    believed: float,
    noises: Sequence[float] | None = None,
) -> Parts:
    """Return the sizes of the parts under which the residuals are most likely.

    A handful of residuals can be small by chance, so some more of a believed size are counted in.

    Args:
        specs: one operator or more.
        residuals: of each.
        shared: whether the formula may be wrong for the device and for whole families; else only
            neighbourhoods and noise are told apart.
        believed: standard deviation of neighbourhood and noise together, before anything is known.
        noises: as for `ResidualField`.
    """
    values = np.array(residuals, dtype=float)
    places = _Places.of(specs)
    names = ("common", "family", "local", "noise") if shared else ("local", "noise")
    kernels = {name: _covariance(places, places, _EACH[name]) for name in names if name in _EACH}

    @cache  # every pass but the first meets most parts again
    def likelihood(parts: Parts) -> float:
        total = _noise(parts, len(values), noises)
        for name, kernel in kernels.items():
            if size := getattr(parts, name):
                total += size**2 * kernel
        alone = parts.local**2 + parts.noise**2
        belief = -0.5 * _BELIEF * (math.log(alone) + believed**2 / alone)
        return belief + _log_likelihood(total, values)

    best = Parts(common=0.0, family=0.0, local=0.0, noise=_NOISES[1])
    for name in names * _PASSES:
        sizes = _NOISES if name == "noise" else (0.0, *_SIZES)
        best = max((replace(best, **{name: size}) for size in sizes), key=likelihood)
    return best


def covariance(
    first: Sequence[OperatorSpec], second: Sequence[OperatorSpec], parts: Parts
) -> Array:
    """Return the covariance of residuals, noise apart: (len(first), len(second))."""
    return _covariance(_Places.of(first), _Places.of(second), parts)


def _noise(parts: Parts, count: int, noises: Sequence[float] | None) -> Array:
    """Return the diagonal covariance of what is no part of any neighbour, (count, count)."""
    own = np.zeros(count) if noises is None else np.square(np.array(noises, dtype=float))
    return np.diag(own + parts.noise**2)


def _covariance(first: "_Places", second: "_Places", parts: Parts) -> Array:
    same = first.families[:, None] == second.families[None, :]
    apart = (
        (first.at**2).sum(axis=1)[:, None]
        + (second.at**2).sum(axis=1)[None, :]
        - 2 * first.at @ second.at.T
    )
    near: Array = parts.family**2 + parts.local**2 * np.exp(-np.maximum(apart, 0.0) / 2)
    return parts.common**2 + np.where(same, near, 0.0)


_EACH = {
    "common": Parts(common=1.0, family=0.0, local=0.0, noise=0.0),
    "family": Parts(common=0.0, family=1.0, local=0.0, noise=0.0),
    "local": Parts(common=0.0, family=0.0, local=1.0, noise=0.0),
}


@dataclass(frozen=True, eq=False, kw_only=True)
class _Places:
    """Where operators lie: their family, and the place in it."""

    families: npt.NDArray[np.int64]  # (n,) a number for each family
    at: Array  # (n, 13)

    @classmethod
    def of(cls, specs: Sequence[OperatorSpec]) -> "_Places":
        return cls(
            families=np.array([zlib.crc32(family_of(spec).encode()) for spec in specs], dtype=int),
            at=np.array([_place(spec) for spec in specs], dtype=float).reshape(len(specs), 13),
        )


@lru_cache(maxsize=8192)
def _place(spec: OperatorSpec) -> tuple[float, ...]:
    octaves = (spec.in_channels, spec.out_channels, spec.height, spec.width, spec.density)
    windows = (spec.kernel, spec.stride, spec.dilation, spec.inputs)
    fusions = (spec.relu_input, spec.residual, spec.activation.value != "none")
    sparse = spec.pattern not in (SparsityPattern.DENSE, SparsityPattern.BLOCK)
    return (
        *(_PER_OCTAVE * math.log2(value) for value in octaves),
        *(_PER_WINDOW_STEP * value for value in windows),
        *(_PER_FUSION * fused for fused in fusions),
        _PER_PATTERN * sparse,
    )


def _log_likelihood(covariance_: Array, values: Array) -> float:
    """Return the logarithm of the density of `values`, up to a constant.

    The values are a last row of the covariance, so that the last row of its factor is the values
    divided by the factor: numpy alone solves no triangle, and a general solution takes twice as
    long as the factor. The corner only has to be large enough for the whole to have a factor.
    """
    count = len(values)
    bordered = np.empty((count + 1, count + 1))
    bordered[:count, :count] = covariance_
    bordered[count, :count] = bordered[:count, count] = values
    bordered[count, count] = 1.0 + 2.0 * float(values @ values) / min(_NOISES) ** 2
    factor = np.linalg.cholesky(bordered)
    whitened = factor[count, :count]
    return float(-0.5 * whitened @ whitened - np.log(np.diag(factor)[:count]).sum())
