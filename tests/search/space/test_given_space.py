"""One given network as a space: its table has what a plan can choose, and the least budget is right."""

from dataclasses import replace

import numpy as np
import pytest

from latency.estimate.lookup_table import TableEstimator
from latency.graph import INPUT, NetworkGraph
from latency.library_form import library_form, row_spec
from latency.operator import OperatorKind, SparsityPattern
from latency.table import LatencyTable
from search.finalize.densities import SPARSE_OPTIONS, allocate_densities, measured_options
from search.finalize.energies import LayerEnergies, layer_energies
from search.finalize.repair import BudgetInfeasibleError
from search.space.given_space import GivenSpace
from search.space.networks import network_graph
from search.space.rivals import PARENTS
from search.space.sparsity import sparse_spec
from tests.search.space.tables import SMALL, exact_table, formula_table

TARGET = formula_table(4, 3, SMALL).target
LIBRARY = replace(TARGET, operator_library="1+test")


def space_of(name: str, width: float) -> GivenSpace:
    return GivenSpace(graph=network_graph(PARENTS[name](width), SMALL), task=SMALL)


RESNET = space_of("resnet-20", 0.5)
MOBILE = space_of("mobilenet-v2", 0.25)
SPACES = pytest.mark.parametrize("space", [RESNET, MOBILE], ids=["resnet-20", "mobilenet-v2"])


@SPACES
def test_rows_can_be_had_for_all_that_a_layer_can_become(space: GivenSpace) -> None:
    points = set(space.usage(LIBRARY).points)
    energies = energies_of(space.graph)
    for node in library_form(space.graph).nodes:
        assert row_spec(node.spec) in points
        if INPUT not in node.inputs and node.spec.weight_shape is not None:
            for option in SPARSE_OPTIONS:
                reached = energies[node.parameters].reached(option.pattern, option.density)
                sparse = sparse_spec(node.spec, replace(option, density=reached))
                assert row_spec(sparse) in points, "just as the trainer will price it"
    assert space.usage(LIBRARY).probes == ()
    stock = set(space.usage(TARGET).points)
    assert stock < points
    assert all(spec.pattern is SparsityPattern.DENSE for spec in stock)


def test_its_forms_are_counted_with_both_patterns() -> None:
    usage = RESNET.usage(LIBRARY)
    # By stock operators, dense in the library, and with each of eight sparsities.
    assert usage.counts.shape == (10, len(usage.operators))
    (reader,) = (node.spec for node in RESNET.graph.nodes if INPUT in node.inputs)
    assert usage.counts[:, usage.operators.index(reader)].tolist() == [1.0] + [0.0] * 9
    patterns = {spec.pattern for spec in usage.operators}
    assert patterns == {
        SparsityPattern.DENSE,
        SparsityPattern.BLOCK,
        SparsityPattern.UNSTRUCTURED,
    }


@SPACES
def test_it_is_calibrated_on_its_beginnings_and_judged_on_others(space: GivenSpace) -> None:
    calibration = space.calibration_networks(7, 8)
    held_out = space.held_out_networks(7, 4)
    assert (len(calibration), len(held_out)) == (8, 4)
    nodes = {node.name: node for node in space.graph.nodes}
    for part in (*calibration, *held_out):
        assert {node.name for node in part.nodes} <= nodes.keys()
        assert [replace(node, spec=node.spec.dense()) for node in part.nodes] == [
            nodes[node.name] for node in part.nodes
        ]
        read = {name for node in part.nodes for name in node.inputs}
        assert {node.name for node in part.nodes[:-1]} <= read, "nothing is computed in vain"
    ends = {part.nodes[-1].name for part in calibration}
    assert ends.isdisjoint(part.nodes[-1].name for part in held_out)
    assert calibration[-1].nodes[-1].name == space.graph.nodes[-1].name
    macs = [sum(spec.macs for spec in part.operators) for part in calibration]
    assert macs == sorted(macs)
    assert macs[0] >= 0.25 * macs[-1]
    assert space.calibration_networks(7, 8) == calibration


def energies_of(graph: NetworkGraph) -> dict[str, LayerEnergies]:
    """Return what the trainer knows of random weights, by layer."""
    rng = np.random.default_rng(0)
    return {
        node.parameters: layer_energies([rng.standard_normal(node.spec.weight_shape)])
        for node in graph.nodes
        if node.spec.weight_shape is not None
    }


def refusal(graph: NetworkGraph, table: LatencyTable) -> float:
    """Return the least budget that the trainer names for a network, whatever its weights are."""
    energies = energies_of(graph)
    with pytest.raises(BudgetInfeasibleError) as caught:
        allocate_densities(graph, TableEstimator(table), energies, 1e-6, measured_options(table))
    return caught.value.smallest_feasible_ms


@SPACES
@pytest.mark.parametrize("factor", [0.8, 3.0], ids=["library pays", "library does not pay"])
def test_the_least_budget_is_that_of_the_trainer(space: GivenSpace, factor: float) -> None:
    table = exact_table(space.graph, factor)
    smallest = space.smallest(space.estimator(table)).high_ms
    assert smallest == pytest.approx(refusal(space.graph, table), rel=1e-6)
    dense = TableEstimator(table).predict(space.graph).high_ms
    assert smallest < dense if factor < 1.0 else smallest <= dense


def test_without_the_library_it_is_that_of_the_dense_network() -> None:
    table = exact_table(RESNET.graph)
    rows = tuple(row for row in table.rows if row.spec in RESNET.usage(TARGET).points)
    stock = replace(table, target=TARGET, rows=rows, library=None)
    dense = TableEstimator(stock).predict(RESNET.graph)
    assert RESNET.smallest(RESNET.estimator(stock)) == dense


def test_patterns_without_rows_are_none_that_could_be_chosen() -> None:
    table = exact_table(RESNET.graph, 0.8)
    rows = tuple(r for r in table.rows if r.spec.pattern is not SparsityPattern.BLOCK)
    singles = replace(table, rows=rows)
    smallest = RESNET.smallest(RESNET.estimator(singles)).high_ms
    assert smallest == pytest.approx(refusal(RESNET.graph, singles), rel=1e-6)
    assert smallest > RESNET.smallest(RESNET.estimator(table)).high_ms


def test_a_network_of_one_layer_has_networks_too() -> None:
    first = next(n for n in RESNET.graph.nodes if n.spec.kind is OperatorKind.CONV)
    space = GivenSpace(graph=replace(RESNET.graph, nodes=(first,)), task=SMALL)
    assert len(space.calibration_networks(0, 3)) == len(space.held_out_networks(0, 3)) == 3
