import pytest

from search.strategies.regret import (
    FoundNetwork,
    predicted_networks,
    regret_text,
    regrets,
)
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


def test_predictions_are_those_of_each_table() -> None:
    space = planned_space()
    predictors = {
        "pi": space.predictor(formula_table(4, 3, SMALL)),
        "box": space.predictor(other_table(4, 3, SMALL)),
    }
    genotypes = {"pi": some_genotype(1), "box": some_genotype(2)}
    found = predicted_networks(genotypes, {"pi": 0.8, "box": 0.7}, predictors)
    assert [one.device for one in found] == ["pi", "box"]
    assert [one.accuracy for one in found] == [0.8, 0.7]
    for one in found:
        for device, predictor in predictors.items():
            alone = predictor.predict([genotypes[one.device]]).latency_ms[0]
            assert one.latency_ms[device] == pytest.approx(alone, rel=1e-9)
