import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.operator import OperatorKind
from latency.table import LatencyTable
from search.data.datasets import load_dataset
from search.problems.choice import problem_of
from search.requests import DeviceBudget, SearchRequest
from search.space.primitives import OPERATIONS
from search.stages import run_derive, run_search
from search.strategies.specialise import (
    CELL_OPTIONS,
    CellOption,
    Floats,
    specialise,
    verdicts,
    what_to_leave_out,
)
from tests.search.engine.small import Events, small_request
from tests.search.space.tables import SMALL, formula_table, planned_space

SPACE = planned_space(channels=8)
TABLE = formula_table(8, 3, SMALL)


def with_equal_windows(table: LatencyTable) -> LatencyTable:
    """Return a table on which every depthwise window costs the same."""
    rows = tuple(
        replace(row, median_ns=1000.0) if row.spec.is_depthwise else row for row in table.rows
    )
    return replace(table, rows=rows)


def dropped(tables: dict[str, LatencyTable]) -> set[CellOption]:
    return {verdict.option for verdict in specialise(SPACE, tables) if verdict.dropped}


def test_where_work_costs_every_smaller_option_is_worth_having() -> None:
    found = specialise(SPACE, {"pi": TABLE})
    assert not any(verdict.dropped for verdict in found)
    # All but the two that nothing contains: the widest separable one, the larger dilated one.
    assert len(found) == len(CELL_OPTIONS) - 2
    assert all(verdict.most_saved > 0.0 and verdict.device == "pi" for verdict in found)
    assert all(verdict.against.contains(verdict.option) for verdict in found)


def test_where_windows_cost_alike_small_ones_go() -> None:
    found = dropped({"pi": with_equal_windows(TABLE)})
    assert {option.operation for option in found} == {"sep_conv_3x3", "dil_conv_3x3"}
    assert {option.width for option in found if option.operation == "sep_conv_3x3"} == {
        0.25,
        0.5,
        0.75,
        1.0,
    }


def test_one_device_that_profits_is_enough_to_keep_an_option() -> None:
    assert dropped({"pi": with_equal_windows(TABLE), "box": TABLE}) == set()
    found = specialise(SPACE, {"pi": with_equal_windows(TABLE), "box": TABLE})
    (verdict,) = (one for one in found if one.option == CellOption(operation="sep_conv_3x3"))
    assert verdict.against == CellOption(operation="sep_conv_5x5")
    assert verdict.device == "box"


def test_where_channels_come_in_steps_widths_between_go() -> None:
    """Pointwise convolutions that cost the same from half of the channels on."""
    rows = tuple(
        replace(row, median_ns=5000.0)
        if row.spec.kind is OperatorKind.CONV and row.spec.groups == 1
        else replace(row, median_ns=1000.0 + row.spec.kernel)
        for row in TABLE.rows
    )
    found = dropped({"pi": replace(TABLE, rows=rows)})
    assert {option.width for option in found} == {0.25, 0.5, 0.75}
    assert {option.operation for option in found} == {"sep_conv_3x3", "sep_conv_5x5"}


PRICES = st.lists(
    st.lists(st.integers(0, 4), min_size=2, max_size=2),
    min_size=len(CELL_OPTIONS),
    max_size=len(CELL_OPTIONS),
)


@settings(max_examples=100, deadline=None)
@given(devices=st.lists(PRICES, min_size=1, max_size=2))
def test_nothing_is_lost_by_what_is_dropped(devices: list[list[list[int]]]) -> None:
    """An option that stays contains what is dropped, and costs no more anywhere."""
    prices: dict[str, dict[CellOption, Floats]] = {
        str(number): {
            option: np.array(values, dtype=float)
            for option, values in zip(CELL_OPTIONS, device, strict=True)
        }
        for number, device in enumerate(devices)
    }
    found = verdicts(prices)
    gone = {verdict.option for verdict in found if verdict.dropped}
    for option in CELL_OPTIONS:
        kept_and_as_cheap = [
            other
            for other in set(CELL_OPTIONS) - gone
            if other.contains(option)
            and all((of[other] <= of[option]).all() for of in prices.values())
        ]
        assert bool(kept_and_as_cheap) == (option in gone)


def request_of(path: Path, **changed: Any) -> SearchRequest:
    return small_request(path, channels=8, specialise=True, **changed)


def test_a_search_leaves_out_what_no_device_profits_from(tmp_path: Path) -> None:
    request = request_of(tmp_path)
    dataset, table = load_dataset(request.dataset), with_equal_windows(TABLE)
    result = run_search(request, tmp_path, dataset, table, Events())
    assert result["left_out"]["operations"] == ["sep_conv_3x3", "dil_conv_3x3"]
    assert any(why.startswith("drop sep_conv_3x3") for why in result["left_out"]["why"])
    assert json.loads((tmp_path / "search.json").read_text()) == result
    columns = [OPERATIONS.index(name) for name in result["left_out"]["operations"]]
    for rows in result["alphas"].values():
        mixture = np.exp(np.array(rows))
        assert (mixture[:, columns] == 0.0).all()
        assert (np.delete(mixture, columns, axis=1) > 0.0).all()
    derived = run_derive(request, tmp_path, dataset, table, Events())["genotype"]
    found = {operation for kind in ("normal", "reduce") for operation, _ in derived[kind]}
    assert found.isdisjoint({"sep_conv_3x3", "dil_conv_3x3"})


def test_what_one_of_two_devices_profits_from_is_searched(tmp_path: Path) -> None:
    also = (DeviceBudget(device="box", budget_ms=10.0),)
    request = request_of(tmp_path, device="pi", also=also)
    problem = problem_of(request, SMALL)
    found = what_to_leave_out(problem, [with_equal_windows(TABLE), TABLE])
    assert found.operations == ()
    assert any("on box it saves" in why for why in found.why)


def test_what_to_leave_out_needs_prices(tmp_path: Path) -> None:
    request = request_of(tmp_path)
    with pytest.raises(ValueError, match="at least one latency table is needed"):
        run_search(request, tmp_path, load_dataset(request.dataset), None, Events())


def test_a_verdict_says_why() -> None:
    kept = specialise(SPACE, {"pi": TABLE})[0].label()
    assert kept.startswith("keep sep_conv_3x3 at width 0.25: on pi it saves")
    found = [verdict.label() for verdict in specialise(SPACE, {"pi": with_equal_windows(TABLE)})]
    assert any(why.startswith("drop sep_conv_3x3") for why in found)


def test_a_table_is_needed() -> None:
    with pytest.raises(ValueError, match="at least one latency table"):
        specialise(SPACE, {})
