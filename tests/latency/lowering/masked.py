"""A network with zeros of several kinds, and tables that make one regime or the other cheaper."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx

from latency.graph import INPUT, OUTPUT, NetworkGraph
from latency.lowering.build import build_model
from latency.lowering.fastest_form import operators_to_measure
from latency.lowering.weights import random_weights
from latency.operator import OperatorKind, OperatorSpec, Regime, SparsityPattern
from latency.table import Calibration, LatencyTable
from tests.latency.samples import RELU, conv, linear, node, plain, row, table

BALANCED = SparsityPattern.BALANCED_BLOCK


def masked_model() -> onnx.ModelProto:
    """Three convolutions: dead channels, shared input channels with a cut kernel, single zeros."""
    nodes = (
        node("first", conv(3, 72, kernel=3, padding=1, activation=RELU), INPUT),
        node("second", conv(72, 128, kernel=3, padding=1, activation=RELU), "first"),
        node("third", conv(128, 32), "second"),
        node("mean", plain(OperatorKind.GLOBAL_AVG_POOL, 32), "third"),
        node(OUTPUT, linear(32, 10), "mean"),
    )
    graph = NetworkGraph(input_shape=(3, 8, 8), nodes=nodes)
    weights = {each.name: random_weights(0)(each) for each in nodes}
    weights["first"]["weight"][64:] = 0.0
    weights["first"]["bias"][64:] = -0.5  # and the ReLU makes it zero
    reads = np.repeat(np.repeat(np.eye(4, dtype=np.bool_), 32, axis=0), 16, axis=1)
    weights["second"]["weight"][:, :64] *= reads[:, :, None, None]
    weights["second"]["weight"][:, :, 0] = 0.0
    few = np.random.default_rng(1).random((32, 128, 1, 1)) < 0.1
    few[0] = True  # reads everything, so no channel is dead
    weights["third"]["weight"] *= few
    return build_model(graph, lambda each: weights[each.name])


def cost_ns(spec: OperatorSpec) -> float:
    """A cost that rises with work that is executed and with traffic, and is never zero."""
    return 300.0 + 0.05 * spec.executed_macs + 0.2 * spec.traffic_elements


def masked_table(
    *, library_slope: float | None, cost: Callable[[OperatorSpec], float] = cost_ns
) -> LatencyTable:
    """A table with a row for every form of `masked_model`."""
    specs = operators_to_measure(masked_model())
    rows = [row(spec, cost(spec)) for spec in specs]
    made = table(*rows, calibration=Calibration(slope=1.0, networks=6, sigma=0.01))
    if library_slope is None:
        stock = tuple(each for each in rows if each.spec.regime is Regime.STOCK)
        return replace(made, rows=stock)
    return replace(made, library=Calibration(slope=library_slope, networks=6, sigma=0.01))
