"""Architecture parameters stay out of every weight optimiser."""

import pytest
import torch

from search.data.batches import seeded_generator
from search.engine.recipes import RECIPES
from search.engine.search_run import SearchRun
from search.problems.choice import problem_of
from search.requests import SPACE_NAMES, DatasetRef, SearchRequest
from search.space.task import TaskShape
from search.supernet.architecture import CELL_TABLES, ArchitectureParameters


def run(space: str) -> SearchRun:
    request = SearchRequest(
        dataset=DatasetRef(format="digits"),
        space=space,
        channels=4,
        cells=3,
        density=0.5,
        budget_ms=1.0,
        recipe="tiny",
    )
    task = TaskShape(image_channels=1, image_size=8, classes=3)
    return SearchRun(problem_of(request, task), RECIPES["tiny"])


def alphas(seed: int) -> ArchitectureParameters:
    return ArchitectureParameters(CELL_TABLES, seeded_generator(seed, "alphas"))


def tables(seed: int) -> dict[str, torch.nn.Parameter]:
    return alphas(seed).tables


def ids(optimizer: torch.optim.Optimizer) -> set[int]:
    return {id(value) for group in optimizer.param_groups for value in group["params"]}


@pytest.mark.parametrize("space", SPACE_NAMES)
def test_three_optimisers_share_nothing_and_cover_everything(space: str) -> None:
    state = run(space)
    weights, scores, of_alphas = (
        ids(optimizer)
        for optimizer in (state.weight_optimizer, state.score_optimizer, state.alpha_optimizer)
    )
    assert of_alphas == {id(table) for table in state.alphas.parameters()}
    assert not of_alphas & weights
    assert not of_alphas & scores
    assert not weights & scores
    assert weights | scores == {id(value) for value in state.supernet.parameters()}


@pytest.mark.parametrize("space", SPACE_NAMES)
def test_no_module_holds_the_alphas(space: str) -> None:
    state = run(space)
    assert not {id(v) for v in state.supernet.parameters()} & ids(state.alpha_optimizer)


def test_alphas_start_small_and_follow_the_seed() -> None:
    one, same, other = (tables(seed)["normal"] for seed in (3, 3, 4))
    assert one.shape == tables(3)["reduce"].shape == (14, 8)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert 5e-4 < float(one.detach().std()) < 2e-3


def test_what_is_left_out_stays_out_while_the_alphas_are_trained() -> None:
    found = alphas(1)
    found.leave_out([2, 5])
    optimizer = torch.optim.Adam(found.parameters(), lr=0.1, weight_decay=1e-2)
    wanted = torch.nn.functional.one_hot(torch.full((14,), 5), 8).float()
    for _ in range(200):
        loss = sum(
            torch.nn.functional.mse_loss(torch.softmax(table, dim=1), wanted)
            for table in found.parameters()
        )
        assert isinstance(loss, torch.Tensor)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    for table in found.parameters():
        mixture = torch.softmax(table.detach(), dim=1)
        assert torch.isfinite(table).all()
        assert float(mixture[:, [2, 5]].max()) == 0.0
        assert torch.allclose(mixture.sum(dim=1), torch.ones(14))


def test_loading_keeps_the_parameters_of_the_optimiser() -> None:
    source, target = alphas(1), alphas(2)
    before = [id(table) for table in target.parameters()]
    target.load_state_dict(source.state_dict())
    assert [id(table) for table in target.parameters()] == before
    assert torch.equal(target.tables["reduce"], source.tables["reduce"])
