"""Requests refuse what cannot be searched, and travel as JSON."""

import json
from typing import Any

import pytest

from latency.codec import decode, encode
from latency.operator import SparsityPattern
from search.engine.recipes import RECIPES, recipe_named
from search.requests import MAX_SEED, RECIPE_NAMES, DatasetRef, DeviceBudget, SearchRequest
from tests.search.space.tables import SMALL, formula_table, planned_space, sparse_table

ALSO = DeviceBudget(device="pi", budget_ms=0.5, tighten=0.9)
MANY = [DeviceBudget(device=str(number), budget_ms=1.0) for number in range(8)]


def request(**changed: Any) -> SearchRequest:
    values: dict[str, Any] = {
        "dataset": DatasetRef(format="digits"),
        "channels": 16,
        "cells": 5,
        "density": 0.25,
        "budget_ms": 1.5,
    }
    return SearchRequest(**(values | changed))


def test_round_trip_through_json() -> None:
    one = request(
        pattern=SparsityPattern.BLOCK, seed=7, recipe="tiny", tighten=0.9, densities="budget"
    )
    assert decode(encode(one), SearchRequest) == one


def test_a_request_of_one_device_may_say_nothing_of_others() -> None:
    values = json.loads(encode(request()))
    for name in ("device", "also", "specialise"):
        del values[name]
    assert decode(json.dumps(values).encode(), SearchRequest) == request()


def test_devices_have_budgets_of_their_own() -> None:
    one = request(device="box", tighten=0.8, also=(ALSO,))
    assert [budget.device for budget in one.budgets] == ["box", "pi"]
    assert [budget.tightened_ms for budget in one.budgets] == pytest.approx([1.2, 0.45])
    assert one.tightened_ms == one.budgets[0].tightened_ms
    assert decode(encode(one), SearchRequest) == one
    with pytest.raises(ValueError, match="budget_ms of pi must be above 0, got -1"):
        DeviceBudget(device="pi", budget_ms=-1)


def test_the_table_plans_the_layers_where_zeros_buy_time_on_the_one_device() -> None:
    library = sparse_table(planned_space(), 2.6)
    assert library.library is not None
    assert request().planning_table(library) is library
    assert request().planning_table(formula_table(4, 3, SMALL)) is None
    assert request().planning_table(None) is None
    assert request(device="box", also=(ALSO,)).planning_table(library) is None
    assert request(recipe="dass-paper").planning_table(library) is None


def test_only_layers_with_plans_of_their_own_need_a_table() -> None:
    table = formula_table(4, 3, SMALL)
    assert request(densities="planned").planning_table(sparse_table(planned_space(), 2.6)) is None
    assert request(densities="budget").planning_table(table) is table
    with pytest.raises(ValueError, match="'budget' are chosen by the prices of a table"):
        request(densities="budget").planning_table(None)


def test_trainings_that_are_compared_have_seeds_of_their_own() -> None:
    assert request(seed=7).training_seeds == (7,)
    assert request(seed=7, seeds=3).training_seeds == (7, 8, 9)
    assert request(seed=MAX_SEED, seeds=2).training_seeds == (MAX_SEED, 0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"channels": 3}, "channels must be from 4 to 1024, got 3"),
        ({"cells": 2}, "cells must be from 3 to 64, got 2"),
        ({"seed": -1}, "seed must be from 0"),
        ({"seeds": 0}, "seeds must be from 1 to 10, got 0"),
        ({"density": 0.0}, "density must be above 0"),
        ({"budget_ms": 0.0}, "budget_ms must be above 0"),
        ({"budget_ms": float("inf")}, "budget_ms must be above 0"),
        ({"tighten": 1.1}, "tighten must be above 0 and at most 1"),
        ({"pattern": SparsityPattern.CHANNEL}, "must be 'unstructured' or 'block'"),
        ({"densities": "each"}, "unknown rule for densities 'each'; allowed"),
        ({"recipe": "slow"}, "unknown recipe 'slow'; allowed"),
        ({"also": (ALSO,)}, r"needs a name of its own, got \['', 'pi'\]"),
        ({"device": "pi", "also": (ALSO,)}, r"needs a name of its own, got \['pi', 'pi'\]"),
        ({"device": "box", "also": tuple(MANY)}, "at most 8 devices, got 9"),
        (
            {"device": "box", "also": (ALSO,), "densities": "budget"},
            "densities 'budget' are for one device only, the request names 2",
        ),
        ({"space": "stages", "specialise": True}, "specialise is of dass-cells only, not of stag"),
        ({"front": 1}, "front must be from 2 to 12, got 1"),
        ({"strategy": "luck"}, "unknown strategy 'luck'; allowed"),
        ({"genotype": {}}, "genotype: malformed"),
    ],
)
def test_mistakes_are_named(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        request(**changed)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format": "imagenet"}, "unknown format 'imagenet'; allowed"),
        ({"format": "npz"}, "'npz' needs a path"),
        ({"format": "digits", "path": "x"}, "'digits' takes no path"),
        ({"format": "digits", "image_size": 10}, "multiple of 4 from 8 to 512, got 10"),
    ],
)
def test_references_that_cannot_be_loaded_are_refused(values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DatasetRef(**values)


def test_mistakes_in_json_are_value_errors_too() -> None:
    text = encode(request()).replace(b'"channels":16', b'"channels":1')
    with pytest.raises(ValueError, match="channels must be from 4"):
        decode(text, SearchRequest)


def test_every_recipe_name_has_a_recipe() -> None:
    assert tuple(RECIPES) == RECIPE_NAMES
    with pytest.raises(ValueError, match="unknown recipe"):
        recipe_named("other")
