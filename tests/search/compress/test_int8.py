"""Layers in int8 as an option of a compression, on digits of 8x8."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from latency.estimate.lookup_table import TableEstimator
from latency.exchange.profile_file import read_plan
from latency.lowering.read_model import read_model
from latency.operator import Activation, SparsityPattern
from search.compress.axes import LeastDistorting
from search.compress.int8_distortions import (
    distortion,
    int8_distortions,
    rounded,
    rounded_weight,
)
from search.compress.request import Axis
from search.compress.stage import run_compress
from search.data.batches import Examples
from search.export.export import export_network
from search.export.int8 import runtime_accuracy
from search.export.parity import run_model
from search.finalize.energies import layer_energies
from search.finalize.graph_network import GraphNetwork, graph_genotype
from search.finalize.int8_layers import UnmeasuredError, int8_operators
from search.finalize.layer_plan import LayerPlan
from search.finalize.repair import BudgetInfeasibleError
from search.space.networks import network_graph
from search.space.rivals import PARENTS
from tests.search.compress.given import brought_file, brought_model
from tests.search.compress.test_stage import DIGITS_8, asked
from tests.search.engine.small import Events
from tests.search.finalize.test_int8_layers import int8_table

READ = read_model(brought_model())
GENOTYPE = graph_genotype(READ.graph)
GRAPH = GENOTYPE.graph
IMAGES = DIGITS_8.train_images[:64]
TEST = Examples(images=DIGITS_8.test_images, labels=DIGITS_8.test_labels)


def brought_network() -> GraphNetwork:
    network = GraphNetwork(GENOTYPE, DIGITS_8.task)
    network.take_weights(READ.weights)
    return network.eval()


def test_a_network_ends_within_its_budget_by_int8(tmp_path: Path) -> None:
    parent = network_graph(PARENTS["resnet-20"](0.5), DIGITS_8.task)
    table = int8_table(parent, 0)
    dense_ms = TableEstimator(table).predict(parent).high_ms
    request = asked("resnet-20", 0.9 * dense_ms, width=0.5, axes=("pattern", "int8"))
    result = run_compress(request, tmp_path, DIGITS_8, table, Events())
    assert result["within_budget"]
    assert result["axes"] == ["pattern", "int8"]
    assert result["int8"] == list(result["plan"]["int8"])
    assert 0 < len(result["int8"]) < len(parent.nodes)
    assert result["plan"]["lower_bound"] <= result["plan"]["distortion"]
    assert result["density"] == 1.0
    model = (tmp_path / "model.onnx").read_bytes()
    assert result["accuracy"] == runtime_accuracy(model, TEST)
    assert result["accuracy"] > 0.5
    initializers = {t.name for t in onnx.load_from_string(model).graph.initializer}
    layers = [name for name in result["int8"] if f"{name}.weight_quantized" in initializers]
    assert set(layers) == {n.name for n in parent.nodes if n.parameters} & set(result["int8"])
    exported = json.loads((tmp_path / "export.json").read_text())
    assert exported["regime"] == "stock"
    assert exported["prediction"] == result["plan"]["prediction"]
    properties = {p.key: p.value for p in onnx.load_from_string(model).metadata_props}
    assert properties["edgewright.densities"] == "budget"


def test_int8_without_rows_is_refused_before_any_training(tmp_path: Path) -> None:
    plain = int8_table(GRAPH, 0)
    brought = set(int8_operators(GRAPH))
    rows = tuple(row for row in plain.rows if row.spec not in brought)
    table = replace(plain, rows=rows)
    request = asked(brought_file(tmp_path), 1.0, axes=("int8",))
    with pytest.raises(UnmeasuredError, match=r"the plan .*int8-plan\.json: conv 1->8") as error:
        run_compress(request, tmp_path, DIGITS_8, table, Events())
    assert not (tmp_path / "derive.json").exists()
    assert read_plan(tmp_path / "int8-plan.json").operators == error.value.operators
    assert set(error.value.operators) == brought


def test_distortions_tell_what_the_runtime_loses() -> None:
    """Of each layer alone in int8 the logits are as far off as it says, in order of magnitude."""
    network = brought_network()
    lost = int8_distortions(network, GRAPH, IMAGES)
    known = (Activation.NONE, Activation.RELU, Activation.RELU6)
    allowed = [n.name for n in GRAPH.nodes if n.parameters and n.spec.activation in known]
    exact = network(IMAGES).detach()
    measured = []
    for name in allowed:
        file = export_network(network, IMAGES, int8=[name]).model
        measured.append(distortion(exact, torch.from_numpy(run_model(file, IMAGES.numpy()))))
    assert set(lost) == {n.name for n in GRAPH.nodes if n.parameters}
    assert all(1e-6 < value < 0.1 for value in lost.values())
    assert all(1e-8 < value < 0.1 for value in measured)


def test_the_scale_is_that_of_pruning() -> None:
    """A convolution on noise loses as much of its output as of the energy of its weights."""
    rng = np.random.default_rng(0)
    weight = torch.from_numpy(rng.standard_normal((64, 64, 1, 1), dtype=np.float32))
    x = torch.from_numpy(rng.standard_normal((8, 64, 16, 16), dtype=np.float32))
    threshold = weight.abs().flatten().kthvalue(weight.numel() // 2).values
    pruned = weight * (weight.abs() > threshold)
    conv = torch.nn.functional.conv2d
    energies = layer_energies([weight.numpy()])
    found = energies.distortion(SparsityPattern.UNSTRUCTURED, 0.5)
    assert distortion(conv(x, weight), conv(x, pruned)) == pytest.approx(found, rel=0.05)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000), low=st.floats(-5.0, 0.0), high=st.floats(0.0, 5.0))
def test_rounding_has_256_levels_and_keeps_zero(seed: int, low: float, high: float) -> None:
    values = torch.empty(300).uniform_(low, high, generator=torch.Generator().manual_seed(seed))
    found = rounded(values, values)
    assert len(set(found.tolist())) <= 256
    step = (max(0.0, float(values.max())) - min(0.0, float(values.min()))) / 255
    assert float((found - values).abs().max()) <= step * 1.01 + 1e-6
    assert not rounded(torch.zeros(3), values).any()


def test_each_output_of_a_weight_has_its_own_scale() -> None:
    weight = torch.tensor([[1.0, 0.4], [0.01, 0.004], [0.0, 0.0]])
    found = rounded_weight(weight)
    assert found[0, 0] == 1.0
    assert found[1, 0] == pytest.approx(0.01)
    assert not found[2].any()
    assert float((found - weight).abs().max()) <= 0.5 / 127


@dataclass(frozen=True, kw_only=True)
class Made:
    """A planner that has one plan, or is over the budget."""

    distortion: float = 0.0
    latency_ms: float = 0.0
    smallest_ms: float | None = None

    def __call__(self, network: nn.Module) -> LayerPlan:
        self.check(network)
        facts = {
            "distortion": self.distortion,
            "prediction": {"latency_ms": self.latency_ms},
        }
        return LayerPlan(layers={}, facts=facts)

    def has_made(self, plan: dict[str, Any]) -> bool:
        return bool(plan["facts"]["distortion"] == self.distortion)

    def check(self, _network: nn.Module) -> None:
        if self.smallest_ms is not None:
            raise BudgetInfeasibleError(1.0, self.smallest_ms)


def test_the_least_distorting_plan_is_taken_and_the_least_budget_named() -> None:
    network = brought_network()
    slow, worst, best = (
        Made(distortion=1.0, latency_ms=3.0),
        Made(distortion=2.0, latency_ms=1.0),
        Made(distortion=1.0, latency_ms=2.0),
    )
    every = LeastDistorting(planners=[slow, worst, best])
    plan = every(network)
    assert plan.facts["prediction"]["latency_ms"] == 2.0
    assert every.has_made(plan.to_dict())
    # Made when there was less to choose from, a plan is made again.
    assert not every.has_made(best(network).to_dict())
    over = Made(smallest_ms=3.0)
    assert LeastDistorting(planners=[worst, over])(network).facts["distortion"] == 2.0
    none = LeastDistorting(planners=[over, Made(smallest_ms=2.0)])
    for ask in (none, none.check):
        with pytest.raises(BudgetInfeasibleError) as error:
            ask(network)
        assert error.value.smallest_feasible_ms == 2.0


def test_axes_of_several_scales_are_not_compared() -> None:
    with pytest.raises(ValueError, match="compared by distortion 'energy' only, got 'one-shot'"):
        asked("resnet-20", 1.0, axes=("pattern", "int8"), distortion="one-shot")


def test_axes_are_checked() -> None:
    assert asked("resnet-20", 1.0, axes=("int8", "int8")).axes == (Axis.INT8,)
    for axes in ((), ("int4",)):
        with pytest.raises(ValueError, match=r"axes must be some of \['pattern', 'int8'\]"):
            asked("resnet-20", 1.0, axes=axes)
