from itertools import product

import pytest

from search.finalize.widths import choose_widths, width_options
from search.space.dass_cells import WIDTH_STEPS, build_graph
from search.space.genotype import Genotype
from search.space.sampling import separable_edges, with_widths
from tests.search.space.tables import SMALL, formula_estimator, latency_ms

ESTIMATOR = formula_estimator(8, 3, SMALL)

EDGES = [("skip_connect", source) for _ in range(4) for source in (0, 1)]
# One separable edge in the normal cell and two in each of the two reductions.
GENOTYPE = Genotype(
    normal=(("sep_conv_3x3", 0), *EDGES[1:]),
    reduce=(("sep_conv_5x5", 0), ("sep_conv_3x3", 1), *EDGES[2:]),
    channels=8,
    cells=3,
)
FULL_MS = ESTIMATOR.predict(build_graph(GENOTYPE, SMALL)).high_ms
NARROW = with_widths(GENOTYPE, dict.fromkeys(separable_edges(GENOTYPE), 0.25))
NARROW_MS = ESTIMATOR.predict(build_graph(NARROW, SMALL)).high_ms


def test_full_widths_where_they_fit() -> None:
    fitted = choose_widths(GENOTYPE, SMALL, ESTIMATOR, FULL_MS)
    assert fitted is not None
    assert fitted.genotype == GENOTYPE
    assert fitted.distortion == 0.0


def test_too_small_a_budget_is_refused() -> None:
    assert choose_widths(GENOTYPE, SMALL, ESTIMATOR, NARROW_MS * 0.999) is None


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
def test_least_distortion_within_the_budget(share: float) -> None:
    budget = NARROW_MS + share * (FULL_MS - NARROW_MS)
    fitted = choose_widths(GENOTYPE, SMALL, ESTIMATOR, budget)
    assert fitted is not None
    assert fitted.prediction.high_ms <= budget
    assert fitted.prediction.latency_ms == latency_ms(ESTIMATOR, fitted.genotype, SMALL)
    layers = separable_edges(GENOTYPE)
    assert len(layers) == 5
    best = min(
        sum((1.0 - width) ** 2 for width in widths)
        for widths in product(WIDTH_STEPS, repeat=len(layers))
        if _high_ms(dict(zip(layers, widths, strict=True))) <= budget
    )
    assert fitted.lower_bound <= best + 1e-9
    # The bisection stops at a thousandth of the range, so a plan just below it can be missed.
    assert fitted.distortion <= best + 0.07


def test_wider_options_cost_more_and_distort_less() -> None:
    for group in width_options(GENOTYPE, SMALL, ESTIMATOR):
        assert [option.cost for option in group] == sorted(option.cost for option in group)
        assert group[-1].distortion == 0.0
        assert [o.distortion for o in group] == sorted((o.distortion for o in group), reverse=True)


def _high_ms(widths: dict[str, float]) -> float:
    graph = build_graph(with_widths(GENOTYPE, widths), SMALL)
    return float(ESTIMATOR.predict(graph).high_ms)
