"""Transfer and drift, on a real device's rows that are replayed with noise."""

import math
import statistics
from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from latency.estimate.execution import executed_nodes
from latency.estimate.families import family_of
from latency.estimate.transfer import choose_probes, family_scales, transfer
from latency.library_form import library_form, row_spec
from latency.operator import OperatorSpec, SparsityPattern
from latency.table import TRANSFERRED, LatencyTable
from search.space.sampling import planning_graphs
from search.space.sparsity import Sparsity, with_sparsity
from search.space.task import TaskShape
from tests.latency import samples
from tests.latency.recorded import recorded_table, replayed, slowed

TABLE = recorded_table()
FAMILIES = sorted({family_of(row.spec) for row in TABLE.rows})
HEAVY = ("conv 1x1", "conv depthwise", "library conv 1x1", "library conv depthwise", "library conv")


@cache
def networks() -> tuple[Counter[OperatorSpec], ...]:
    """Return what random networks of the demo's space execute, in both regimes."""
    task = TaskShape(image_channels=1, image_size=16, classes=10)
    stock = planning_graphs(16, 5, task)[::4]
    sparse = Sparsity(pattern=SparsityPattern.BLOCK, density=0.25)
    forms = [*stock, *(with_sparsity(library_form(graph), sparse) for graph in stock)]
    return tuple(Counter(row_spec(node.spec) for node in executed_nodes(form)) for form in forms)


def sums(table: LatencyTable) -> list[float]:
    """Return the sum of the rows of each network."""
    costs = {row.spec: row.median_ns for row in table.rows}
    return [sum(costs[spec] * uses for spec, uses in network.items()) for network in networks()]


def network_error(found: LatencyTable, truth: LatencyTable) -> float:
    """Return the mean relative error of networks."""
    pairs = zip(sums(found), sums(truth), strict=True)
    return statistics.fmean(abs(made / true - 1.0) for made, true in pairs)


def probed(table: LatencyTable, device: LatencyTable, count: int) -> LatencyTable:
    wanted = choose_probes(table, count)
    probes = [row for row in device.rows if row.spec in wanted]
    return transfer(table, probes, device.target, version=1)


def test_probes_are_rows_that_cover_the_families() -> None:
    probes = choose_probes(TABLE, 50)
    assert len(set(probes)) == 50
    assert set(probes) <= {row.spec for row in TABLE.rows}
    assert {family_of(spec) for spec in probes} == {family_of(row.spec) for row in TABLE.rows}
    assert choose_probes(TABLE, 10) == probes[:10]  # the most telling first


@pytest.mark.parametrize("count", [0, len(TABLE.rows) + 1])
def test_a_count_of_probes_that_cannot_be_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"from 1 to {len(TABLE.rows)}, got {count}"):
        choose_probes(TABLE, count)


def test_probes_of_other_operators_are_refused_by_name() -> None:
    stranger = samples.row(samples.conv(99, 99), 1.0)
    with pytest.raises(ValueError, match="no row of conv 99->99"):
        transfer(TABLE, [stranger], TABLE.target, version=1)
    with pytest.raises(ValueError, match="there are none"):
        transfer(TABLE, [], TABLE.target, version=1)


def test_a_device_that_is_slower_throughout_is_known_from_ten_probes() -> None:
    rows = tuple(replace(row, median_ns=3 * row.median_ns) for row in TABLE.rows)
    device = replayed(replace(TABLE, rows=rows), seed=1)
    found = probed(TABLE, device, 10)
    assert network_error(found, device) < 0.02
    assert found.calibration.intercept_ns == pytest.approx(3 * TABLE.calibration.intercept_ns)


def another_device(seed: int) -> LatencyTable:
    """Return a device half as fast, each family by a factor of its own, every row with noise.

    Its operators are those of another real setting, so they do not just scale either.
    """
    rng = np.random.default_rng(seed)
    factors = {family: 2.0 * float(np.exp(0.2 * rng.standard_normal())) for family in FAMILIES}
    table = replayed(recorded_table("avx2"), seed)
    rows = tuple(
        replace(row, median_ns=factors[family_of(row.spec)] * row.median_ns) for row in table.rows
    )
    return replace(table, rows=rows)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_fifty_probes_make_a_good_table_of_another_device(seed: int) -> None:
    device = another_device(seed)
    errors = [network_error(probed(TABLE, device, count), device) for count in (10, 50)]
    untouched = network_error(TABLE, device)
    assert untouched > 0.4
    assert errors[0] < 0.2 * untouched
    assert errors[1] < 0.07  # of which the recording's own noise is most


def test_fifty_probes_do_for_a_narrower_instruction_set() -> None:
    device = recorded_table("portable")
    errors = [network_error(probed(TABLE, device, count), device) for count in (10, 50, 100)]
    assert network_error(TABLE, device) > 0.15
    assert errors[0] < 0.08
    assert errors[1] < 0.03
    assert errors[2] < errors[0]


@pytest.mark.parametrize(("setting", "honest"), [("avx2", 0.85), ("portable", 0.75)])
def test_intervals_of_transferred_rows_are_honest(setting: str, honest: float) -> None:
    device = recorded_table(setting)
    truth = {row.spec: row for row in device.rows}
    made = [row for row in probed(TABLE, device, 50).rows if row.method == TRANSFERRED]
    inside = [abs(row.median_ns - truth[row.spec].median_ns) <= row.spread_ns for row in made]
    assert len(made) == len(TABLE.rows) - 50
    assert statistics.fmean(inside) > honest


@pytest.mark.parametrize("family", HEAVY)
def test_drift_of_one_family_is_found_with_a_twentieth_of_the_rows(family: str) -> None:
    device = replayed(slowed(TABLE, family, 1.2), seed=2)
    count = len(TABLE.rows) // 20
    found = probed(TABLE, device, count)
    assert network_error(found, device) < 0.03
    wanted = choose_probes(TABLE, count)
    scales = family_scales(TABLE, [row for row in device.rows if row.spec in wanted])
    assert [scale.family for scale in scales if scale.drifted] == [family]
    assert scales[0].scale == pytest.approx(1.2, abs=0.06)


def test_no_drift_is_found_where_there_is_none() -> None:
    device = replayed(TABLE, seed=3)
    wanted = choose_probes(TABLE, len(TABLE.rows) // 20)
    scales = family_scales(TABLE, [row for row in device.rows if row.spec in wanted])
    assert {scale.family for scale in scales} == set(FAMILIES)
    assert not any(scale.drifted for scale in scales)
    assert all(math.isclose(scale.scale, 1.0, abs_tol=0.05) for scale in scales)
