"""What every space promises: rows for all of its networks, and sets that never meet."""

from dataclasses import replace

import pytest

from latency.estimate.execution import executed_nodes
from latency.library_form import library_form, row_spec
from latency.operator import OperatorSpec, Regime, SparsityPattern
from latency.target import Target
from search.space.dass_cells import MERGED_KERNEL
from search.space.planned_space import PlannedSpace
from search.space.search_space import SearchSpace
from search.space.sparsity import Sparsity
from search.space.stage_space import StageSpace
from search.space.task import TaskShape
from search.space.usage import POINT_DENSITIES
from tests.search.space.tables import DIGITS, SMALL, formula_table

BLOCK = SparsityPattern.BLOCK
STOCK_ONLY: Target = formula_table(4, 3, SMALL).target
WITH_LIBRARY = replace(STOCK_ONLY, operator_library="1+test")
SPACES: dict[str, SearchSpace] = {
    "dass-cells": PlannedSpace(
        channels=4, cells=3, task=SMALL, sparsity=Sparsity(pattern=BLOCK, density=0.2)
    ),
    "stages": StageSpace(width=8, task=DIGITS),
}


def _at_row(spec: OperatorSpec) -> OperatorSpec:
    if spec.pattern is SparsityPattern.DENSE:
        return spec
    merged = spec.kernel == MERGED_KERNEL
    return replace(spec, density=POINT_DENSITIES[1] / (4 if merged else 1))


@pytest.mark.parametrize("name", SPACES)
def test_points_are_of_nearly_every_network_in_both_regimes(name: str) -> None:
    space = SPACES[name]
    assert space.name == name
    rows = set(space.usage(WITH_LIBRARY).points)
    assert {spec.regime for spec in space.usage(STOCK_ONLY).points} == {Regime.STOCK}
    seen, missing = 0, 0
    for graph in space.held_out_networks(seed=0, count=60):
        stock = [node.spec.dense() for node in executed_nodes(graph)]
        # Along density prices are interpolated, so a row at another density will do.
        sparse = [row_spec(_at_row(spec)) for spec in library_form(graph).operators]
        seen += len(stock) + len(sparse)
        missing += sum(spec not in rows for spec in stock + sparse)
    assert missing < 0.05 * seen, "what is rare is priced by what lies around it"


@pytest.mark.parametrize("name", SPACES)
def test_networks_to_calibrate_and_to_judge_never_meet(name: str) -> None:
    space = SPACES[name]
    fitted = {graph.key for seed in range(3) for graph in space.calibration_networks(seed, 6)}
    judged = {graph.key for seed in range(3) for graph in space.held_out_networks(seed, 6)}
    assert len(fitted) == len(judged) == 18
    assert not fitted & judged
    again = {graph.key for seed in range(3) for graph in space.held_out_networks(seed, 6)}
    assert again == judged


@pytest.mark.parametrize("name", SPACES)
def test_networks_are_dense_and_sparse_small_and_large(name: str) -> None:
    graphs = SPACES[name].held_out_networks(1, 16)
    assert all(graph.regime is Regime.STOCK for graph in graphs)
    densities = [
        {node.spec.density for node in graph.nodes if node.spec.pattern is BLOCK}
        for graph in graphs
    ]
    assert 0 < sum(not found for found in densities) < 12, "some are dense, most are not"
    assert all(
        POINT_DENSITIES[0] / 4 <= density <= 1.0 for found in densities for density in found
    )  # a merged reduce has a quarter of the density
    assert max(len(found) for found in densities) > 5, "they differ from layer to layer"
    macs = [sum(spec.macs for spec in graph.operators) for graph in graphs]
    assert max(macs) > 2 * min(macs)


@pytest.mark.parametrize(("size", "halvings"), [(8, 1), (16, 2), (28, 2), (32, 3), (64, 3)])
def test_images_are_halved_as_often_as_they_can_be(size: int, halvings: int) -> None:
    task = TaskShape(image_channels=3, image_size=size, classes=10)
    assert StageSpace(width=8, task=task).halvings == halvings


def test_a_width_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="width must be from 4 to 1024, got 2"):
        StageSpace(width=2, task=DIGITS)
