"""Which networks a table is calibrated and judged on, for every space that can be asked for."""

from dataclasses import replace

import pytest

from latency.operator import Regime, SparsityPattern
from search.requests import SPACE_NAMES, table_space
from search.space.sparsity import Sparsity
from service.datasets.inspection import DIGITS_TASK
from service.profiling.planning import planned_networks, profiled_space
from tests.service.samples import target

REQUEST = {"channels": 8, "cells": 3, "pattern": "block"}


@pytest.mark.parametrize("name", SPACE_NAMES)
def test_each_network_is_timed_in_each_regime_and_is_the_same(name: str) -> None:
    space = profiled_space(REQUEST | {"space": name}, DIGITS_TASK)
    assert space.name == name
    stock = planned_networks(space, target())
    both = planned_networks(space, replace(target(), operator_library="1+test"))
    assert {n.graph.regime for n in stock} == {Regime.STOCK}
    assert len(both) == 2 * len(stock) == 24
    assert {n.graph.key for n in stock} <= {n.graph.key for n in both}
    kinds = [n.name.rsplit("-", 2)[0] for n in stock]
    assert (kinds.count("calibration"), kinds.count("held-out")) == (8, 4)


def test_an_older_search_is_about_cells() -> None:
    assert profiled_space(REQUEST | {"density": 0.5}, DIGITS_TASK).name == "dass-cells"


def test_an_unknown_space_is_refused() -> None:
    sparsity = Sparsity(pattern=SparsityPattern.BLOCK, density=0.5)
    with pytest.raises(ValueError, match=r"must be one of \['dass-cells', 'stages'\], got 'trees'"):
        table_space("trees", 8, 3, DIGITS_TASK, sparsity)
