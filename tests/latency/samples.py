"""Operators, graphs and rows that several tests share."""

from dataclasses import replace
from typing import Any

from latency.graph import INPUT, OUTPUT, GraphNode, NetworkGraph
from latency.measurement import OperatorMeasurement
from latency.operator import Activation, OperatorKind, OperatorSpec, Regime, SparsityPattern
from latency.table import Calibration, LatencyTable, TableRow
from latency.target import DeviceFacts, Target

RELU = Activation.RELU


def conv(in_channels: int, out_channels: int, size: int = 8, **changes: Any) -> OperatorSpec:
    values: dict[str, Any] = {
        "kind": OperatorKind.CONV,
        "in_channels": in_channels,
        "out_channels": out_channels,
        "height": size,
        "width": size,
    }
    return OperatorSpec(**{**values, **changes})


def depthwise(channels: int, size: int = 8, kernel: int = 3, stride: int = 1) -> OperatorSpec:
    return conv(
        channels,
        channels,
        size,
        groups=channels,
        kernel=kernel,
        stride=stride,
        padding=kernel // 2,
    )


def plain(kind: OperatorKind, channels: int, size: int = 8, inputs: int = 1) -> OperatorSpec:
    merged = inputs if kind is OperatorKind.CONCAT else 1
    return OperatorSpec(
        kind=kind,
        in_channels=channels,
        out_channels=channels * merged,
        height=size,
        width=size,
        inputs=inputs,
    )


def pool(kind: OperatorKind, channels: int, size: int = 8, stride: int = 1) -> OperatorSpec:
    return replace(plain(kind, channels, size), kernel=3, padding=1, stride=stride)


def linear(in_features: int, out_features: int) -> OperatorSpec:
    return OperatorSpec(
        kind=OperatorKind.LINEAR,
        in_channels=in_features,
        out_channels=out_features,
        height=1,
        width=1,
    )


def one_of_each() -> tuple[OperatorSpec, ...]:
    """Every kind of operator, with the shapes in which networks of ours use it."""
    return (
        conv(3, 16, 12, kernel=3, padding=1, activation=RELU),
        conv(16, 24),
        conv(16, 8, activation=RELU),
        conv(16, 32, kernel=2, stride=2),
        conv(16, 16, groups=4, kernel=3, padding=1),
        depthwise(16),
        depthwise(16, kernel=5, stride=2),
        replace(depthwise(16), dilation=2, padding=2),
        linear(32, 10),
        plain(OperatorKind.RELU, 16),
        pool(OperatorKind.MAX_POOL, 16),
        pool(OperatorKind.AVG_POOL, 16),
        pool(OperatorKind.AVG_POOL, 16, stride=2),
        plain(OperatorKind.GLOBAL_AVG_POOL, 16),
        plain(OperatorKind.ADD, 16, inputs=2),
        plain(OperatorKind.ADD, 16, inputs=3),
        plain(OperatorKind.CONCAT, 16, inputs=4),
    )


def library_operators() -> tuple[OperatorSpec, ...]:
    """Operators in the regime of the library, with everything that they can fuse."""
    sparse: dict[str, Any] = {"pattern": SparsityPattern.BLOCK, "density": 0.25}
    specs = (
        conv(3, 16, 12, kernel=3, padding=1, activation=RELU),
        conv(16, 24, **sparse),
        conv(16, 24, pattern=SparsityPattern.UNSTRUCTURED, density=0.1, activation=RELU),
        conv(16, 16, kernel=3, padding=1, activation=Activation.SILU, **sparse),
        depthwise(16),
        depthwise(16, kernel=5, stride=2),
        replace(linear(32, 10), **sparse),
        linear(32, 10),
        plain(OperatorKind.RELU, 16),
        pool(OperatorKind.MAX_POOL, 16),
        pool(OperatorKind.AVG_POOL, 16, stride=2),
        plain(OperatorKind.GLOBAL_AVG_POOL, 16),
        plain(OperatorKind.ADD, 16, inputs=2),
        plain(OperatorKind.CONCAT, 16, inputs=4),
    )
    in_library = tuple(replace(spec, regime=Regime.LIBRARY) for spec in specs)
    wide = in_library[1]
    return (
        *in_library,
        replace(wide, relu_input=True),
        replace(wide, residual=True),
        replace(in_library[4], relu_input=True),
        replace(wide, pattern=SparsityPattern.POSITIONS, density=0.5),
    )


def stock_forms() -> tuple[OperatorSpec, ...]:
    """Convolutions in the forms in which stock runtimes profit from zeros."""
    balanced: dict[str, Any] = {"pattern": "balanced-block", "density": 0.25, "block_filters": 32}
    return (
        conv(16, 16, kernel=3, padding=1, cut=(1, 0, 0, 1)),
        conv(16, 16, 9, kernel=4, padding=1, stride=2, cut=(1, 1, 0, 0)),
        conv(16, 16, kernel=5, padding=2, groups=16, cut=(0, 2, 0, 2)),
        conv(24, 64, kernel=3, padding=1, activation=RELU, **balanced),
        conv(24, 64, kernel=3, padding=1, cut=(1, 0, 0, 0), **balanced),
    )


def node(name: str, spec: OperatorSpec, *inputs: str) -> GraphNode:
    return GraphNode(name=name, spec=spec, inputs=inputs)


def small_network(channels: int = 16, size: int = 8) -> NetworkGraph:
    """A network with every way in which operators are joined: branches, sum, concat, classifier."""
    half = size // 2
    nodes = (
        node("stem", conv(3, channels, size, kernel=3, padding=1, activation=RELU), INPUT),
        node("left", depthwise(channels, size, stride=2), "stem"),
        node("left.point", conv(channels, channels, half), "left"),
        node("right", pool(OperatorKind.MAX_POOL, channels, size, stride=2), "stem"),
        node("sum", plain(OperatorKind.ADD, channels, half, inputs=2), "left.point", "right"),
        node("rectified", plain(OperatorKind.RELU, channels, half), "sum"),
        node("both", plain(OperatorKind.CONCAT, channels, half, inputs=2), "rectified", "right"),
        node("pooled", plain(OperatorKind.GLOBAL_AVG_POOL, 2 * channels, half), "both"),
        node(OUTPUT, linear(2 * channels, 10), "pooled"),
    )
    return NetworkGraph(input_shape=(3, size, size), nodes=nodes)


def target(threads: int = 1) -> Target:
    facts = DeviceFacts(machine="x86_64", processor="test", cores=2)
    return Target(facts=facts, runtime_version="1.32.0", threads=threads)


def row(spec: OperatorSpec, ns: float, spread_ns: float = 0.0) -> TableRow:
    return TableRow(
        spec=spec,
        median_ns=ns,
        spread_ns=spread_ns,
        samples=15,
        method="frame",
        measured_at="2026-01-01T00:00:00+00:00",
    )


def table(*rows: TableRow, calibration: Calibration | None = None) -> LatencyTable:
    return LatencyTable(
        target=target(), version=1, rows=rows, calibration=calibration or Calibration()
    )


def scaled(measured: OperatorMeasurement, factor: float) -> OperatorMeasurement:
    """Return a measurement with all its times wrong by one factor, as by a wrong unit."""
    taken = measured.samples
    assert taken is not None
    lists: dict[str, Any] = {
        name: tuple(1 + round(value * factor) + i for i, value in enumerate(getattr(taken, name)))
        for name in ("short_ns", "long_ns", "reference_ns")
    }
    return replace(measured, samples=replace(taken, **lists))
