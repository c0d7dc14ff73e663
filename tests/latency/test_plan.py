"""The planner on a real device's rows, replayed: what it leaves out must hardly show."""

from dataclasses import replace

import numpy as np
import pytest

from latency.estimate.operator_prices import OperatorPrices
from latency.library_form import stock_rival
from latency.operator import Activation, OperatorSpec, SparsityPattern
from latency.plan import (
    MAX_ROWS,
    ROUNDS,
    TOLERANCE,
    WORST_ERROR,
    MeasuringCosts,
    Plan,
    SpaceUsage,
    missing_rivals,
    network_errors,
    plan_rows,
    rows_of_round,
)
from latency.table import LatencyTable, TableRow
from latency.target import UNKNOWN_DEVICE
from search.space.sampling import planning_graphs
from search.space.task import TaskShape
from search.space.usage import space_usage
from tests.latency.recorded import recorded_table
from tests.latency.samples import conv, row

A, B, C = (conv(8 * factor, 8) for factor in (1, 2, 3))
DIGITS = TaskShape(image_channels=1, image_size=16, classes=10)
USAGE = space_usage(planning_graphs(16, 5, DIGITS), SparsityPattern.BLOCK, with_library=True)


def test_minutes() -> None:
    costs = MeasuringCosts(operator_s=0.5, process_s=2.0)
    plan = Plan(operators=(A, B, C), networks=4, processes=3, costs=costs)
    assert plan.minutes == (3 * 0.5 + 4 * 3 * 2.0) / 60
    assert plan.room == (12 * 60 - 25.5) // 0.5
    assert Plan(operators=()).minutes == 0.0
    assert Plan(operators=(), networks=1000, costs=costs).room == 0


def usage_of(*counts: tuple[float, ...]) -> SpaceUsage:
    return SpaceUsage(operators=(A, B, C), counts=np.array(counts), points=(A, B, C))


def test_what_networks_spend_most_in_is_measured_first_and_what_they_never_use_not() -> None:
    plan = plan_rows(usage_of((9.0, 1.0, 0.0)), [], UNKNOWN_DEVICE)
    assert plan.operators[0] == A
    assert C not in plan.operators
    assert plan.error_now > 0.2 > plan.error_after
    points = [spec for spec in plan.operators if spec in (A, B, C)]
    assert (plan.known, plan.covered) == (0, 3 - len(points))


def test_a_limit_is_kept_and_what_has_a_row_is_not_asked_for_again() -> None:
    assert len(plan_rows(usage_of((1.0, 1.0, 1.0)), [], UNKNOWN_DEVICE, limit=1).operators) == 1
    usage = usage_of((1.0, 1.0, 1.0))
    rows = [row(A, 900.0, 9.0), row(B, 1000.0, 9.0), row(C, 1100.0, 9.0)]
    plan = plan_rows(usage, rows, UNKNOWN_DEVICE)
    assert plan.operators == usage.probes
    assert (plan.known, plan.covered, plan.error_now) == (3, 0, 0.0)
    probed = [row(spec, 900.0, 9.0) for spec in usage.probes]
    assert plan_rows(usage, rows + probed, UNKNOWN_DEVICE).operators == ()


def test_the_most_used_sparse_operators_have_int8_rivals_until_one_is_known() -> None:
    rivals = missing_rivals(USAGE, [])
    assert rivals == USAGE.rivals
    assert len(set(rivals)) == 8
    dense = {replace(spec, dtype="float32", activation=Activation.NONE) for spec in rivals}
    sparse = [spec for spec in USAGE.operators if spec.pattern is not SparsityPattern.DENSE]
    assert dense <= {replace(stock_rival(spec), activation=Activation.NONE) for spec in sparse}
    assert missing_rivals(USAGE, [row(rivals[0], 900.0, 9.0)]) == ()


def test_a_round_leaves_rows_to_those_after_it() -> None:
    left, rounds = MAX_ROWS, []
    for number in range(ROUNDS):
        rounds.append(rows_of_round(left, ROUNDS - number))
        left -= rounds[-1]
    assert (rounds, left) == ([200, 67, 33], 0)
    assert (rows_of_round(9, 0), rows_of_round(-5, 2), rows_of_round(1, 3)) == (0, 0, 1)


def replay(device: LatencyTable) -> tuple[list[TableRow], int]:
    """Return what three rounds of planning have measured on a device, and how much they asked for.

    Probes of channels are asked for, but were not recorded.
    """
    rows = {row.spec: row for row in device.rows}
    known: list[TableRow] = []
    asked: set[OperatorSpec] = set()
    for number in range(ROUNDS):
        limit = rows_of_round(MAX_ROWS - len(asked), ROUNDS - number)
        plan = plan_rows(USAGE, known, device.target.facts, limit=limit)
        asked |= set(plan.operators)
        known += [rows[spec] for spec in plan.operators if spec in rows]
    return known, len(asked)


@pytest.mark.parametrize("setting", ["one-thread", "avx2", "portable"])
def test_the_default_plan_prices_the_space_within_its_limits(setting: str) -> None:
    device = recorded_table(setting)
    known, asked = replay(device)
    assert asked <= MAX_ROWS
    assert len(known) < 0.6 * len(USAGE.points)
    expected = network_errors(USAGE, known, device.target.facts)
    planned, whole = (
        USAGE.counts @ [prices.price(spec).ns for spec in USAGE.operators]
        for prices in (OperatorPrices(rows, device.target.facts) for rows in (known, device.rows))
    )
    missed = np.abs(planned / whole - 1.0)
    mean, worst = float(missed.mean()), float(missed.max())
    assert mean < 2 * TOLERANCE
    assert worst < 1.5 * WORST_ERROR
    honest = float(np.mean(missed <= 1.645 * expected))
    assert honest > 0.7
