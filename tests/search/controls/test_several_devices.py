"""Controls of a search for two devices keep every budget, and each device has a file of them."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.table import LatencyTable
from search.controls.candidates import (
    dense_network,
    int8_network,
    random_network,
)
from search.controls.space import PricedNetwork, SearchedSpace
from search.controls.stage import run_controls
from search.engine.checkpoint import write_json
from search.engine.problem import PricedDevice
from search.export.int8 import runtime_accuracy
from search.finalize.fit_devices import largest_share
from search.problems.choice import problem_of
from search.requests import MIN_CHANNELS
from search.space.dass_cells import build_graph
from search.space.extremes import largest_genotype, smallest_genotype
from search.stages import run_derive, run_export, run_train
from tests.search.controls.test_candidates import (
    CELLS,
    CHANNELS,
    REQUEST,
    with_int8_rows,
)
from tests.search.controls.test_stage import DATA, NAMES, TEST
from tests.search.engine.small import Events
from tests.search.problems.test_several_devices import (
    TABLES,
    request_of,
    some_alphas,
)
from tests.search.space.tables import SMALL, formula_table, other_table, some_genotype

PAIR = tuple(table(CHANNELS, CELLS, SMALL) for table in (formula_table, other_table))
SHARES = st.tuples(st.floats(0.1, 1.0), st.floats(0.1, 1.0))


def prices_of(table: LatencyTable) -> Any:
    return REQUEST.search_space(SMALL).estimator(table)


PRICES = tuple(map(prices_of, PAIR))
LOW_MS, HIGH_MS = (
    [
        prices.predict(build_graph(end(PRICES[0], CHANNELS, CELLS, SMALL)[0], SMALL)).high_ms
        for prices in PRICES
    ]
    for end in (smallest_genotype, largest_genotype)
)


def space_at(shares: tuple[float, float], tables: tuple[LatencyTable, ...] = PAIR) -> SearchedSpace:
    """Return the space with budgets so far from a small network to the largest."""
    budgets = [
        low + share * (high - low) for low, high, share in zip(LOW_MS, HIGH_MS, shares, strict=True)
    ]
    devices = [
        PricedDevice(device=name, estimator=prices_of(table), budget_ms=budget)
        for name, table, budget in zip(("box", "pi"), tables, budgets, strict=True)
    ]
    return SearchedSpace(problem_of(REQUEST, SMALL), devices)


def shares_needed(network: PricedNetwork, space: SearchedSpace) -> list[float]:
    """Return what share of each budget a network needs; every device has priced it."""
    ends = [found.high_ms for found in network.predictions if found is not None]
    assert len(ends) == len(space.devices)
    return [end / one.budget_ms for end, one in zip(ends, space.devices, strict=True)]


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), shares=SHARES)
def test_a_random_network_keeps_both_budgets(seed: int, shares: tuple[float, float]) -> None:
    space = space_at(shares)
    found = random_network(space, seed, 0.8)
    assert max(shares_needed(found, space)) <= 1.0
    graph = space.graph(found.genotype)
    predictions = [one.estimator.predict(graph) for one in space.devices]
    assert found.predictions == tuple(predictions)
    assert largest_share(predictions, space.devices) == max(shares_needed(found, space))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), shares=SHARES)
def test_the_dense_control_is_the_widest_within_both_budgets(
    seed: int, shares: tuple[float, float]
) -> None:
    space, searched = space_at(shares), some_genotype(seed, CHANNELS, CELLS)
    fitting = []
    for width in range(MIN_CHANNELS, CHANNELS + 1):
        graph = build_graph(replace(searched, channels=width), SMALL)
        ends = [one.estimator.plain.predict(graph).high_ms for one in space.devices]
        if all(end <= one.budget_ms for end, one in zip(ends, space.devices, strict=True)):
            fitting.append(width)
    found = dense_network(space, searched)
    assert (found is None) == (not fitting)
    if found is not None:
        assert found.genotype == replace(searched, channels=max(fitting))
        assert max(shares_needed(found, space)) <= 1.0


def test_a_device_without_prices_in_int8_has_no_say_in_its_width() -> None:
    searched = some_genotype(8, CHANNELS, CELLS)
    priced = with_int8_rows(PAIR[1], 1.0)
    roomy, tight = ((9.0, 0.1), (0.1, 9.0))
    without = int8_network(space_at(tight), searched, None)
    assert without is not None
    assert (without.genotype, without.predictions) == (searched, (None, None))
    first_has_none = int8_network(space_at(tight, (PAIR[0], priced)), searched, None)
    assert first_has_none is not None
    assert first_has_none.genotype == searched
    assert first_has_none.predictions[0] is None
    assert first_has_none.predictions[1] is not None
    narrow = int8_network(space_at(roomy, (PAIR[0], priced)), searched, None)
    assert narrow is None or narrow.genotype != searched


def test_each_device_has_a_file_of_each_control(tmp_path: Path) -> None:
    request, (table, *others) = request_of("dass-cells", 2.0, 1.5), TABLES["dass-cells"]
    alphas = {name: rows.tolist() for name, rows in some_alphas(request, 3).items()}
    write_json(tmp_path / "search.json", {"alphas": alphas})
    run_derive(request, tmp_path, DATA, table, Events(), others=others)
    run_train(request, tmp_path, DATA, table, Events())
    run_export(request, tmp_path, DATA, table, Events(), others=others)
    result = run_controls(request, tmp_path, DATA, table, Events(), others=others)
    assert json.loads((tmp_path / "controls.json").read_text()) == json.loads(json.dumps(result))
    assert [line["name"] for line in result["controls"]] == NAMES
    for line in result["controls"]:
        if "absent" in line:
            assert line["name"] == "dense", "the others can always be made"
            continue
        each = [line, *line["also"]]
        assert [one.get("device") for one in each] == [None, "pi"]
        for one, budget, priced in zip(each, request.budgets, (table, *others), strict=True):
            model = (tmp_path / one["path"]).read_bytes()
            assert hashlib.sha256(model).hexdigest() == one["sha256"]
            assert runtime_accuracy(model, TEST) == pytest.approx(line["accuracy"], abs=0.011)
            if line["name"] == "int8":
                continue
            assert one["prediction"]["target_fingerprint"] == priced.target.fingerprint
            if line["name"] in ("random", "dense"):
                assert one["prediction_before_training"]["high_ms"] <= budget.budget_ms
        paths = [Path(one["path"]).name for one in each]
        second = "model.onnx" if line["name"] == "int8" else "model-2.onnx"
        assert paths == ["model.onnx", second]
