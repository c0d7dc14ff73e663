"""Architecture parameters stay out of every weight optimiser."""

import torch

from search.data.batches import seeded_generator
from search.engine.recipes import RECIPES
from search.engine.search_run import SearchRun
from search.requests import DatasetRef, SearchRequest
from search.space.task import TaskShape
from search.supernet.architecture import ArchitectureParameters


def run() -> SearchRun:
    request = SearchRequest(
        dataset=DatasetRef(format="digits"),
        channels=4,
        cells=3,
        density=0.5,
        budget_ms=1.0,
        recipe="tiny",
    )
    task = TaskShape(image_channels=1, image_size=8, classes=3)
    return SearchRun(request, RECIPES["tiny"], task)


def ids(optimizer: torch.optim.Optimizer) -> set[int]:
    return {id(value) for group in optimizer.param_groups for value in group["params"]}


def test_three_optimisers_share_nothing_and_cover_everything() -> None:
    state = run()
    weights, scores, alphas = (
        ids(optimizer)
        for optimizer in (state.weight_optimizer, state.score_optimizer, state.alpha_optimizer)
    )
    assert alphas == {id(table) for table in state.alphas.parameters()}
    assert not alphas & weights
    assert not alphas & scores
    assert not weights & scores
    assert weights | scores == {id(value) for value in state.supernet.parameters()}


def test_no_module_holds_the_alphas() -> None:
    state = run()
    assert not {id(v) for v in state.supernet.parameters()} & ids(state.alpha_optimizer)


def test_alphas_start_small_and_follow_the_seed() -> None:
    one, same = (ArchitectureParameters(seeded_generator(3, "alphas")) for _ in range(2))
    other = ArchitectureParameters(seeded_generator(4, "alphas"))
    assert one.normal_EO.shape == one.reduce_EO.shape == (14, 8)
    assert torch.equal(one.normal_EO, same.normal_EO)
    assert not torch.equal(one.normal_EO, other.normal_EO)
    assert 5e-4 < float(one.normal_EO.detach().std()) < 2e-3


def test_loading_keeps_the_parameters_of_the_optimiser() -> None:
    source = ArchitectureParameters(seeded_generator(1, "alphas"))
    target = ArchitectureParameters(seeded_generator(2, "alphas"))
    before = [id(table) for table in target.parameters()]
    target.load_state_dict(source.state_dict())
    assert [id(table) for table in target.parameters()] == before
    assert torch.equal(target.reduce_EO, source.reduce_EO)
