"""The regressor learns the table from random architectures, and its gradient goes the same way."""

import pytest
import torch

from search.engine.recipes import LatencyKind
from search.objective.latency_term import ExpectedLatency
from search.objective.learnt_latency import LearntLatency, drawn_edges
from search.problems.cells import CellProblem
from search.problems.stages import StageProblem
from search.requests import DatasetRef, SearchRequest
from search.space.cell_variants import CellSize
from search.space.stage_space import StageSpace
from tests.search.objective.test_latency_term import COSTS, ESTIMATOR, SPACE, random_alphas
from tests.search.space.tables import SMALL

SIZE = CellSize(channels=4, cells=3, task=SMALL)
EXACT = ExpectedLatency(COSTS, upper=True)


@pytest.fixture(scope="module")
def learnt() -> LearntLatency:
    torch.set_num_threads(1)
    return LearntLatency(EXACT, SIZE, networks=500)


def test_new_networks_are_predicted(learnt: LearntLatency) -> None:
    edges = drawn_edges(SIZE, 200, seed=1)
    wanted, found = EXACT.networks_ms(edges), learnt.networks_ms(edges)
    assert float((found / wanted - 1.0).abs().mean()) < 0.05
    ranks = torch.stack([wanted.argsort().argsort(), found.argsort().argsort()]).double()
    assert float(torch.corrcoef(ranks)[0, 1]) > 0.95


def test_gradient_agrees_with_differences(learnt: LearntLatency) -> None:
    alphas = [a.double().requires_grad_() for a in random_alphas(1, 0.3)]
    gradients = torch.autograd.grad(learnt(alphas, 0.5), alphas)
    directions = [d.double() for d in random_alphas(2, 1.0)]
    along = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))
    with torch.no_grad():
        ends = [
            float(learnt([a + step * d for a, d in zip(alphas, directions, strict=True)], 0.5))
            for step in (1e-6, -1e-6)
        ]
    assert along == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-3)


def test_descending_it_makes_the_derived_network_cheaper(learnt: LearntLatency) -> None:
    alphas = [a.requires_grad_() for a in random_alphas(5, 0.1)]
    optimizer = torch.optim.Adam(alphas, lr=0.05)
    before = learnt.derived_ms(alphas)
    assert before == EXACT.derived_ms(alphas)
    for _ in range(60):
        for alpha, gradient in zip(
            alphas, torch.autograd.grad(learnt(alphas, 0.5), alphas), strict=True
        ):
            alpha.grad = gradient
        optimizer.step()
    assert learnt.derived_ms(alphas) < 0.7 * before


def test_problems_give_the_term_that_a_recipe_asks_for() -> None:
    digits = DatasetRef(format="digits", image_size=8)
    request = SearchRequest(dataset=digits, channels=4, cells=3, density=0.2, budget_ms=1.0)
    cells = CellProblem(request=request, space=SPACE)
    assert isinstance(cells.latency(ESTIMATOR), ExpectedLatency)
    stages = StageProblem(request=request, space=StageSpace(width=8, task=SMALL))
    with pytest.raises(ValueError, match="stages have no latency term 'regressor'"):
        stages.latency(ESTIMATOR, LatencyKind.REGRESSOR)
