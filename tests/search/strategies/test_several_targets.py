import pytest

from search.space.cell_moves import CellMoves
from search.space.dass_cells import build_graph
from search.space.extremes import largest_genotype, smallest_genotype
from search.space.genotype import Genotype
from search.strategies.evaluations import EvaluatedSearch, Evolution
from search.strategies.several_targets import WorstCaseMoves
from tests.search.space.tables import (
    SMALL,
    formula_table,
    other_table,
    planned_space,
    some_genotype,
)

SPACE = planned_space()
TABLES = (formula_table(4, 3, SMALL), other_table(4, 3, SMALL))
ESTIMATORS = tuple(SPACE.estimator(table) for table in TABLES)
MOVES = tuple(CellMoves(SPACE, table) for table in TABLES)
SMALLEST = smallest_genotype(ESTIMATORS[0], 4, 3, SMALL)[0]


def high_ms(genotype: Genotype) -> list[float]:
    graph = build_graph(genotype, SMALL)
    return [estimator.predict(graph).high_ms for estimator in ESTIMATORS]


LOW, HIGH = high_ms(SMALLEST), high_ms(largest_genotype(ESTIMATORS[0], 4, 3, SMALL)[0])


def test_latency_is_that_of_the_worst_device() -> None:
    budgets = [0.06, 0.02]
    genotypes = [some_genotype(seed).with_layers(()) for seed in range(8)]
    found = WorstCaseMoves(MOVES, budgets).latency_ms(genotypes)
    for genotype, latency_ms in zip(genotypes, found, strict=True):
        shares = [ms / budget for ms, budget in zip(high_ms(genotype), budgets, strict=True)]
        assert latency_ms == pytest.approx(budgets[0] * max(shares), rel=1e-9)
    alone = WorstCaseMoves(MOVES[:1], budgets[:1]).latency_ms(genotypes)
    assert alone == pytest.approx(MOVES[0].latency_ms(genotypes))


def test_evolution_for_two_devices_keeps_both_budgets() -> None:
    budgets = [
        low + share * (high - low) for low, high, share in zip(LOW, HIGH, (0.3, 0.2), strict=True)
    ]
    moves = WorstCaseMoves(MOVES, budgets)

    def fitness(genotype: Genotype) -> float:
        return float(sum("conv" in name for name, _ in genotype.normal + genotype.reduce))

    search = EvaluatedSearch(moves, Evolution(moves), fitness, budget_ms=budgets[0], seed=0)
    search.run(30)
    assert len(search.judged) == 30
    for one in search.judged:
        for found, budget in zip(high_ms(one.genotype), budgets, strict=True):
            assert found <= budget * (1 + 1e-9)


def test_every_device_needs_a_budget() -> None:
    with pytest.raises(ValueError, match="2 need as many budgets above 0 ms"):
        WorstCaseMoves(MOVES, [1.0])
    with pytest.raises(ValueError, match="0 need as many budgets"):
        WorstCaseMoves([], [])
