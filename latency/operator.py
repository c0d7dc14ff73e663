"""OperatorSpec: one operation exactly as a device executes it; the key of a latency table row.

Standard library only: the API, the agent and the search all speak in these values.
"""

import hashlib
import json
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from functools import cached_property
from operator import attrgetter
from typing import Any


class OperatorKind(StrEnum):
    """The operations that a network of ours is made of."""

    CONV = "conv"  # weights (out, in / groups, kernel, kernel), bias, batch norm already folded
    LINEAR = "linear"  # weights (out, in), bias; height and width are 1
    RELU = "relu"
    MAX_POOL = "max-pool"
    AVG_POOL = "avg-pool"  # padding does not count into the mean
    GLOBAL_AVG_POOL = "global-avg-pool"  # output is (batch, channels)
    ADD = "add"  # `inputs` tensors of one shape
    CONCAT = "concat"  # `inputs` tensors of one shape, along the channels
    # Between operators of float32 and of int8: no nodes of a graph, but what follows from its dtypes.
    QUANTIZE = "quantize"  # a float32 tensor becomes int8
    DEQUANTIZE = "dequantize"  # and back


class Regime(StrEnum):
    """Whose kernels execute a network: all of it or nothing, so that no layout is ever changed."""

    STOCK = "stock"  # ONNX Runtime's own
    LIBRARY = "library"  # those of `latency.kernels`


class SparsityPattern(StrEnum):
    """What may become zero together.

    `BALANCED_BLOCK` is for stock runtimes: `block_filters` adjacent filters read the same input
    channels, and every block reads as many. `POSITIONS` is sparsity of the output: runs of
    POSITION_PIXELS adjacent pixels are computed or are a constant of their channel. `CHANNEL`
    never appears in an OperatorSpec: removed channels leave the graph, so the device sees a dense
    operator with fewer channels.
    """

    DENSE = "dense"
    UNSTRUCTURED = "unstructured"
    BLOCK = "block"  # BLOCK_ROWS adjacent output channels share their input indices
    BALANCED_BLOCK = "balanced-block"
    POSITIONS = "positions"
    CHANNEL = "channel"


class Activation(StrEnum):
    """What is fused behind a convolution or linear layer."""

    NONE = "none"
    RELU = "relu"
    RELU6 = "relu6"
    SILU = "silu"
    HARDSWISH = "hardswish"


BLOCK_ROWS = 4
BALANCED_FILTERS = (32, 64)  # how many filters may share their input channels in stock runtimes
POSITION_PIXELS = 16
DTYPES = ("float32", "int8")
UNCUT = (0, 0, 0, 0)
MAX_DIMENSION = 65_536

_WEIGHTED = (OperatorKind.CONV, OperatorKind.LINEAR)
_WINDOWED = (OperatorKind.CONV, OperatorKind.MAX_POOL, OperatorKind.AVG_POOL)
_MERGING = (OperatorKind.ADD, OperatorKind.CONCAT)
CONVERSIONS = (OperatorKind.QUANTIZE, OperatorKind.DEQUANTIZE)


@dataclass(frozen=True, kw_only=True)
class OperatorSpec:
    """One operation as a device sees it: kind, shapes, sparsity, fused activation.

    Batch size is one. Shapes are those of the input; `out_channels` is what comes out. In the
    regime of the library a convolution can do more: rectify its input as it reads it, and add a
    tensor of its output's shape, the last of its inputs, before the activation.

    Raises:
        ValueError: a field is out of range or contradicts another; the message names the field.
    """

    kind: OperatorKind
    in_channels: int  # channels of one input tensor
    out_channels: int
    height: int  # of the input, pixels
    width: int
    kernel: int = 1
    stride: int = 1
    padding: int = 0  # the same on all four sides
    dilation: int = 1
    groups: int = 1
    inputs: int = 1  # number of input tensors (add, concat)
    activation: Activation = Activation.NONE
    pattern: SparsityPattern = SparsityPattern.DENSE
    density: float = 1.0  # fraction of weights that are kept, rounded to 4 decimals
    dtype: str = "float32"  # one of DTYPES; int8 is what stock kernels can run instead
    regime: Regime = Regime.STOCK
    relu_input: bool = False  # ReLU on the input
    residual: bool = False  # one more input is added before the activation
    # Rows and columns of a convolution's kernel that do not exist: top, left, bottom, right. The
    # kernel that remains need not be square; it reads what it read before, so its padding on
    # each side is that much smaller.
    cut: tuple[int, int, int, int] = UNCUT
    block_filters: int = 0  # one of BALANCED_FILTERS for a balanced-block pattern, else 0

    def __post_init__(self) -> None:
        for name, words in _WORDS.items():
            if type(getattr(self, name)) is not words:  # specs are made by the thousand
                object.__setattr__(self, name, words(getattr(self, name)))
        object.__setattr__(self, "density", round(float(self.density), 4))
        object.__setattr__(self, "cut", tuple(self.cut))
        _check_ranges(self)
        _check_consistency(self)

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        # Estimators look specs up by the thousand; hashing 17 fields each time would dominate.
        return hash(_values(self))

    @property
    def out_height(self) -> int:
        """Height of the output, pixels."""
        return self._window_output(self.height)

    @property
    def out_width(self) -> int:
        """Width of the output, pixels."""
        return self._window_output(self.width)

    @cached_property
    def out_shape(self) -> tuple[int, int, int]:
        """Shape of the output without the batch: (channels, height, width)."""
        return (self.out_channels, self.out_height, self.out_width)

    @cached_property
    def in_shape(self) -> tuple[int, int, int]:
        """Shape of one input tensor without the batch: (channels, height, width)."""
        return (self.in_channels, self.height, self.width)

    @property
    def num_tensors(self) -> int:
        """How many tensors it reads: its inputs and the one that it adds."""
        return self.inputs + self.residual

    @property
    def is_depthwise(self) -> bool:
        """Whether it is a convolution of each channel with a filter of its own."""
        return (
            self.kind is OperatorKind.CONV
            and self.groups == self.in_channels == self.out_channels > 1
        )

    @property
    def kernel_shape(self) -> tuple[int, int]:
        """Height and width of the kernel, without what is cut off."""
        top, left, bottom, right = self.cut
        return (self.kernel - top - bottom, self.kernel - left - right)

    @property
    def pads(self) -> tuple[int, int, int, int]:
        """Padding at the top, left, bottom and right, pixels."""
        top, left, bottom, right = (self.padding - self.dilation * lost for lost in self.cut)
        return (top, left, bottom, right)

    @property
    def kept_channels(self) -> int:
        """How many input channels each block of a balanced-block pattern reads."""
        return max(1, round(self.density * self.in_channels))

    @property
    def weight_shape(self) -> tuple[int, ...] | None:
        """Shape of the dense weight, or None where the operation has no weights."""
        if self.kind is OperatorKind.CONV:
            return (self.out_channels, self.in_channels // self.groups, *self.kernel_shape)
        if self.kind is OperatorKind.LINEAR:
            return (self.out_channels, self.in_channels)
        return None

    @property
    def num_weights(self) -> int:
        """Number of weights when dense, bias apart."""
        count = 1 if self.weight_shape else 0
        for size in self.weight_shape or ():
            count *= size
        return count

    @property
    def kept_runs(self) -> int:
        """How many runs of POSITION_PIXELS output pixels the positions pattern computes."""
        runs = -(-self.out_height * self.out_width // POSITION_PIXELS)
        return max(1, round(self.density * runs))

    @property
    def macs(self) -> int:
        """Multiply-adds when dense."""
        if self.kind is OperatorKind.CONV:
            return self.num_weights * self.out_height * self.out_width
        return self.num_weights

    @property
    def executed_macs(self) -> float:
        """Multiply-adds that are really executed: the library leaves out what is zero."""
        balanced = self.pattern is SparsityPattern.BALANCED_BLOCK
        return self.macs * (self.density if balanced or self.regime is Regime.LIBRARY else 1.0)

    @property
    def traffic_elements(self) -> int:
        """Elements read and written once each: inputs, output and dense weights."""
        read = self.inputs * self.in_channels * self.height * self.width
        written = self.out_channels * self.out_height * self.out_width
        read += written if self.residual else 0
        return read + written + self.num_weights

    @cached_property
    def canonical_json(self) -> str:
        """The one JSON text of this value: sorted keys, no spaces, every field present."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))

    @cached_property
    def key(self) -> str:
        """SHA-256 of the canonical JSON, in hex: the key of a table row."""
        return hashlib.sha256(self.canonical_json.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "OperatorSpec":
        """Build from plain JSON values.

        Raises:
            ValueError: unknown or missing field, or a value that is not allowed.
        """
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"operator: unknown field {unknown[0]!r}; allowed: {sorted(known)}")
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"operator: {error}") from error

    def dense(self) -> "OperatorSpec":
        """Return the same operation with every weight kept."""
        return replace(self, pattern=SparsityPattern.DENSE, density=1.0, block_filters=0)

    def label(self) -> str:
        """Return a short text for people, such as `conv 16->32 k3 s2 @16x16 relu`."""
        window = self.kind in _WINDOWED
        details = {
            f"{self.in_channels}->{self.out_channels}": True,
            f"k{self.kernel} s{self.stride}": window,
            f"g{self.groups}": self.groups > 1,
            f"d{self.dilation}": self.dilation > 1,
            f"x{self.inputs}": self.inputs > 1,
            f"window {self.kernel_shape[0]}x{self.kernel_shape[1]}": self.cut != UNCUT,
            f"@{self.height}x{self.width}": True,
            "relu-in": self.relu_input,
            "add": self.residual,
            self.activation.value: self.activation is not Activation.NONE,
            f"{self._pattern_label()} {self.density:g}": self.pattern is not SparsityPattern.DENSE,
            self.dtype: self.dtype != "float32",
            self.regime.value: self.regime is not Regime.STOCK,
        }
        return " ".join([self.kind.value, *(text for text, shown in details.items() if shown)])

    def _pattern_label(self) -> str:
        return f"{self.pattern.value}{self.block_filters or ''}"

    def _window_output(self, size: int) -> int:
        if self.kind is OperatorKind.GLOBAL_AVG_POOL:
            return 1
        if self.kind not in _WINDOWED:
            return size
        reach = self.dilation * (self.kernel - 1) + 1
        return (size + 2 * self.padding - reach) // self.stride + 1


_WORDS = {"kind": OperatorKind, "activation": Activation, "pattern": SparsityPattern,
          "regime": Regime}  # fmt: skip
_COUNTS = ("in_channels", "out_channels", "height", "width", "kernel", "stride", "dilation",
           "groups", "inputs")  # fmt: skip
_values = attrgetter(*(field.name for field in fields(OperatorSpec)))
_counts = attrgetter(*_COUNTS)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return value.value if isinstance(value, StrEnum) else value


def _check_ranges(spec: OperatorSpec) -> None:
    for name, value in zip(_COUNTS, _counts(spec), strict=True):
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"operator: {name} must be a whole number, got {type(value).__name__}")
        if not 1 <= value <= MAX_DIMENSION:
            raise ValueError(f"operator: {name} must be from 1 to {MAX_DIMENSION}, got {value}")
    if not isinstance(spec.padding, int) or not 0 <= spec.padding <= MAX_DIMENSION:
        raise ValueError(f"operator: padding must be from 0 to {MAX_DIMENSION}")
    if not 0.0 < spec.density <= 1.0:
        raise ValueError(f"operator: density must be above 0 and at most 1, got {spec.density}")
    if spec.dtype not in DTYPES:
        raise ValueError(f"operator: dtype must be one of {DTYPES}, got {spec.dtype!r}")


def _check_consistency(spec: OperatorSpec) -> None:
    if spec.in_channels % spec.groups or spec.out_channels % spec.groups:
        raise ValueError(f"operator: channels must be divisible by groups={spec.groups}")
    if spec.kind not in _WEIGHTED:
        _check_weightless(spec)
    if spec.kind is OperatorKind.LINEAR and (spec.height, spec.width) != (1, 1):
        raise ValueError("operator: a linear layer has height 1 and width 1")
    if (spec.kind in _MERGING) != (spec.inputs > 1):
        wanted = "at least two inputs" if spec.kind in _MERGING else "one input"
        raise ValueError(f"operator: {spec.kind.value} takes {wanted}, got {spec.inputs}")
    if spec.pattern is SparsityPattern.CHANNEL:
        raise ValueError("operator: channel sparsity is fewer channels, not a pattern of weights")
    if spec.pattern is SparsityPattern.DENSE and spec.density != 1.0:
        raise ValueError("operator: a dense operator has density 1")
    if spec.out_height < 1 or spec.out_width < 1:
        raise ValueError("operator: the window is larger than the padded input")
    _check_int8(spec)
    _check_fusions(spec)
    _check_cut(spec)
    _check_balanced(spec)


def _check_fusions(spec: OperatorSpec) -> None:
    library_conv = spec.kind is OperatorKind.CONV and spec.regime is Regime.LIBRARY
    for name in ("relu_input", "residual"):
        value = getattr(spec, name)
        if not isinstance(value, bool):
            raise ValueError(f"operator: {name} must be true or false, got {value!r}")
        if value and not library_conv:
            raise ValueError(f"operator: {name} is for convolutions of the library only")
    if spec.pattern is SparsityPattern.POSITIONS and (not library_conv or spec.residual):
        raise ValueError(
            "operator: positions are for convolutions of the library that add no tensor"
        )


def _check_int8(spec: OperatorSpec) -> None:
    is_plain = spec.pattern is SparsityPattern.DENSE and spec.regime is Regime.STOCK
    if spec.dtype == "int8" and not (is_plain and spec.kind not in CONVERSIONS):
        raise ValueError("operator: int8 is for dense stock operators that convert no dtype")


def _check_cut(spec: OperatorSpec) -> None:
    if spec.cut == UNCUT:
        return
    if spec.kind is not OperatorKind.CONV:
        raise ValueError(f"operator: {spec.kind.value} has no kernel to cut")
    if len(spec.cut) != len(UNCUT) or not all(type(lost) is int and lost >= 0 for lost in spec.cut):
        raise ValueError(f"operator: cut must be four whole numbers from 0, got {spec.cut}")
    if min(spec.kernel_shape) < 1:
        raise ValueError(f"operator: cut {spec.cut} leaves nothing of a kernel of {spec.kernel}")
    if min(spec.pads) < 0:
        raise ValueError(f"operator: cut {spec.cut} needs more padding than {spec.padding}")


def _check_balanced(spec: OperatorSpec) -> None:
    if type(spec.block_filters) is not int:
        raise ValueError(f"operator: block_filters must be a number, got {spec.block_filters!r}")
    if spec.pattern is not SparsityPattern.BALANCED_BLOCK:
        if spec.block_filters != 0:
            raise ValueError("operator: block_filters is for the balanced-block pattern only")
        return
    if spec.kind is not OperatorKind.CONV or spec.groups > 1 or spec.regime is Regime.LIBRARY:
        raise ValueError("operator: balanced-block is for stock convolutions without groups")
    if spec.block_filters not in BALANCED_FILTERS or spec.out_channels % spec.block_filters:
        raise ValueError(
            f"operator: block_filters must be one of {BALANCED_FILTERS} and divide out_channels, "
            f"got {spec.block_filters}"
        )


def _check_weightless(spec: OperatorSpec) -> None:
    if spec.activation is not Activation.NONE:
        raise ValueError(f"operator: {spec.kind.value} has no fused activation")
    if spec.pattern is not SparsityPattern.DENSE:
        raise ValueError(f"operator: {spec.kind.value} has no weights to make sparse")
    if spec.groups != 1:
        raise ValueError(f"operator: {spec.kind.value} has no groups")
    expected = spec.in_channels * (spec.inputs if spec.kind is OperatorKind.CONCAT else 1)
    if spec.out_channels != expected:
        raise ValueError(f"operator: {spec.kind.value} must have out_channels={expected}")
