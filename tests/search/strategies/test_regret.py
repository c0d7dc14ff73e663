import pytest

from search.engine.problem import PricedDevice
from search.space.dass_cells import build_graph
from search.strategies.regret import FoundNetwork, predicted_network, regret_text, regrets
from tests.search.space.tables import (
    SMALL,
    formula_table,
    other_table,
    planned_space,
    some_genotype,
)

NETWORKS = [
    FoundNetwork(device="pi", latency_ms={"pi": 10.0, "box": 3.0}, accuracy=0.9),
    FoundNetwork(device="box", latency_ms={"pi": 15.0, "box": 2.0}, accuracy=0.95),
]
BUDGETS = {"pi": 12.0, "box": 3.5}


def test_each_network_on_each_device() -> None:
    found = {(one.found_for, one.on): one for one in regrets(NETWORKS, BUDGETS)}
    assert len(found) == 4
    for device in BUDGETS:
        own = found[device, device]
        assert (own.slowdown, own.accuracy_loss, own.over_budget) == (0.0, 0.0, False)
    assert found["pi", "box"].slowdown == pytest.approx(0.5)
    assert found["pi", "box"].accuracy_loss == pytest.approx(0.05)
    assert not found["pi", "box"].over_budget
    assert found["box", "pi"].slowdown == pytest.approx(0.5)
    assert found["box", "pi"].accuracy_loss == pytest.approx(-0.05)
    assert found["box", "pi"].over_budget


def test_as_text() -> None:
    found = regrets(NETWORKS, BUDGETS)
    lines = regret_text(found).splitlines()
    assert len(lines) == 1 + len(found)
    assert lines[3].split() == ["box", "pi", "15.000", "+50.0%", "-0.050", "!"]


def test_incomplete_tables_are_refused() -> None:
    with pytest.raises(ValueError, match=r"pi: \['box'\] must have milliseconds above 0"):
        regrets(
            [FoundNetwork(device="pi", latency_ms={"pi": 1.0}, accuracy=0.5), NETWORKS[1]], BUDGETS
        )
    with pytest.raises(ValueError, match="budgets"):
        regrets(NETWORKS, {"pi": 1.0})
    with pytest.raises(ValueError, match="one network of its own"):
        regrets([NETWORKS[0], NETWORKS[0]], BUDGETS)


def test_a_network_for_all_is_held_against_what_each_device_could_have() -> None:
    common = FoundNetwork(device="all", latency_ms={"pi": 9.0, "box": 3.6})
    found = regrets(NETWORKS, BUDGETS, common)
    assert len(found) == 6
    on_pi, on_box = found[4:]
    assert [one.found_for for one in (on_pi, on_box)] == ["all", "all"]
    assert on_pi.slowdown == pytest.approx(-0.1)
    assert (on_pi.over_budget, on_box.over_budget) == (False, True)
    assert on_pi.accuracy_loss is None
    assert regret_text(found).splitlines()[5].split() == [
        "all", "pi", "9.000", "-10.0%", "not", "trained",
    ]  # fmt: skip


def test_predictions_are_those_of_each_table() -> None:
    space = planned_space()
    tables = {"pi": formula_table(4, 3, SMALL), "box": other_table(4, 3, SMALL)}
    devices = [
        PricedDevice(device=name, estimator=space.estimator(table), budget_ms=1.0)
        for name, table in tables.items()
    ]
    found = predicted_network("pi", build_graph(some_genotype(1), SMALL), devices)
    assert (found.device, found.accuracy) == ("pi", None)
    for name, table in tables.items():
        alone = space.predictor(table).predict([some_genotype(1)]).high_ms[0]
        assert found.latency_ms[name] == pytest.approx(alone, rel=1e-9)
