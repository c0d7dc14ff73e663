"""The smallest and the largest network bound all others."""

from latency.estimate.lookup_table import TableEstimator
from search.space.extremes import largest_genotype, smallest_genotype
from tests.search.space.tables import DIGITS, formula_estimator, latency_ms, some_genotype

ESTIMATOR: TableEstimator = formula_estimator(16, 5, DIGITS)


def test_no_network_is_cheaper_than_the_smallest() -> None:
    smallest, prediction = smallest_genotype(ESTIMATOR, 16, 5, DIGITS)
    assert prediction.latency_ms == latency_ms(ESTIMATOR, smallest, DIGITS)
    found = [latency_ms(ESTIMATOR, some_genotype(seed, 16, 5), DIGITS) for seed in range(150)]
    assert prediction.latency_ms < min(found)


def test_largest_is_above_random_networks() -> None:
    _, prediction = largest_genotype(ESTIMATOR, 16, 5, DIGITS)
    found = [latency_ms(ESTIMATOR, some_genotype(seed, 16, 5), DIGITS) for seed in range(150)]
    assert prediction.latency_ms > max(found)
