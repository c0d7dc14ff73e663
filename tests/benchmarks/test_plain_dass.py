"""The straightforward rival of `make bench-search` is the same function as our supernet."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from benchmarks.plain_copy import copy_supernet
from benchmarks.plain_dass import PlainSupernet, enter_stage, plain_layers
from benchmarks.plain_search import Batch, PlainSearch
from benchmarks.search_contest import (
    OURS,
    PLAIN,
    UNROLLED,
    Contest,
    OurSearch,
    Times,
    check_agreement,
    measure,
    our_search,
)
from benchmarks.search_speed import compare
from search.data.batches import Examples
from search.engine.recipes import RECIPES
from search.engine.schedule import Stage
from search.engine.search_loop import SearchData
from search.layers.sparse import sparse_layers
from search.space.task import TaskShape
from search.supernet.supernet import Supernet

TASK = TaskShape(image_channels=3, image_size=8, classes=4)
RECIPE = RECIPES["tiny"]  # one normal cell and two reductions, 4 channels
STAGES = (Stage.DENSE, Stage.SCORES, Stage.MASKED)  # of a search; paths follow it, for fronts


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread, and a measurement on this machine is not waited for."""
    torch.set_num_threads(1)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def contest() -> Contest:
    generator = torch.Generator().manual_seed(0)
    halves = [
        Examples(
            images=torch.randn((16, *TASK.input_shape), generator=generator),
            labels=torch.arange(16) % TASK.classes,
        )
        for _ in range(2)
    ]
    data = SearchData(weights=halves[0], alphas=halves[1])
    return Contest(name="tiny", recipe=RECIPE, data=data, task=TASK, half=64)


def pair(stage: Stage) -> tuple[OurSearch, PlainSearch]:
    """Both searches where a stage begins, after a step of ours in each of those before."""
    ours, plain = our_search(contest()), PlainSearch(RECIPE, contest().data, TASK)
    for earlier in STAGES:
        ours.enter(earlier)
        if earlier is stage:
            break
        ours.weight_step()
    plain.enter(stage)
    return ours, plain


def both_logits(ours: OurSearch, plain: PlainSearch) -> tuple[Tensor, Tensor]:
    assert isinstance(ours.run.supernet, Supernet)
    copy_supernet(ours.run.supernet, plain.network)
    mixture = [torch.rand(14, 8) for _ in range(2)]  # every operation of both kinds of cell counts
    images = ours.data.weights.images[:16]
    return ours.run.supernet(images, *mixture), plain.network(images, *mixture)


@pytest.mark.parametrize("stage", STAGES)
def test_logits_agree(stage: Stage) -> None:
    ours, plain = pair(stage)
    expected, found = both_logits(ours, plain)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4 * float(expected.detach().std()))
    kept = sum(layer.kept_weights() for layer in sparse_layers(ours.run.supernet).values())
    layers = list(plain_layers(plain.network))
    assert sum(layer.kept for layer in layers) == kept
    assert kept == sum(layer.weight.numel() for layer in layers) or stage is not Stage.DENSE
    check_agreement(ours, plain)


@pytest.mark.parametrize("stage", STAGES)
def test_gradients_agree(stage: Stage) -> None:
    """Of what the stage trains, in a layer of one edge and in one that is a part of ours."""
    ours, plain = pair(stage)
    labels = ours.data.weights.labels[:16]
    ours.run.supernet.zero_grad()
    for logits in both_logits(ours, plain):
        cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]
    name = "score" if stage is Stage.SCORES else "weight"
    wide = ours.run.supernet.get_submodule("cells.0.sources.2.grouped.sep_conv_3x3.pointwise1")
    pairs = [(ours.run.supernet.get_submodule("stem"), plain.network.get_submodule("stem"), 0, 1)]
    pairs += [
        (wide, plain.network.get_submodule(f"cells.0.edges.{edge}.operations.4.pointwise1"), i, 3)
        for i, edge in enumerate([4, 7, 11])  # of nodes 1, 2, 3, which have 3, 4, 5: from node 0
    ]
    for one, other, part, parts in pairs:
        expected = getattr(one, name).grad.chunk(parts)[part]
        found = getattr(other, name).grad
        assert expected.any()
        assert torch.allclose(found, expected, rtol=1e-2, atol=1e-3 * float(expected.abs().max()))


def test_networks_that_differ_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, plain = pair(Stage.DENSE)
    monkeypatch.setattr("benchmarks.search_contest.copy_supernet", lambda *_: None)
    with pytest.raises(SystemExit, match="dense stage: the two supernets differ by"):
        check_agreement(ours, plain)


def test_stages_train_scores_or_weights() -> None:
    network = PlainSupernet(4, 3, TASK)
    for stage in STAGES:
        enter_stage(network, stage)
        for layer in plain_layers(network):
            assert layer.score.requires_grad is (stage is Stage.SCORES)
            assert layer.weight.requires_grad is (stage is not Stage.SCORES)


def test_second_order_is_the_derivative_through_an_unrolled_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a radius that suits double precision; at that of the paper it is rough."""
    monkeypatch.setattr("benchmarks.plain_search._RADIUS", 1e-6)
    torch.manual_seed(0)
    search = PlainSearch(RECIPE, contest().data, TASK)
    for layer in plain_layers(search.network):
        torch.nn.init.zeros_(layer.score)
    search.network.double()
    search.alphas = [torch.nn.Parameter(0.1 * torch.randn(14, 8).double()) for _ in range(2)]
    train, valid = _batch(search.data.weights), _batch(search.data.alphas)
    rate = 0.05
    found = search.unrolled_gradients(train, valid, rate)
    first_order = torch.autograd.grad(search.loss(valid), search.alphas)
    expected = _through_the_step(search, train, valid, rate)
    for one, plain, exact in zip(found, first_order, expected, strict=True):
        scale = float(exact.norm())
        assert float((one - exact).norm()) < 0.02 * scale
        assert float((plain - exact).norm()) > 0.05 * scale, "the first order is something else"


def _batch(examples: Examples) -> Batch:
    return examples.images[:8].double(), examples.labels[:8]


def _through_the_step(
    search: PlainSearch, train: Batch, valid: Batch, rate: float
) -> tuple[Tensor, ...]:
    weights: dict[str, Tensor] = {
        name: value
        for name, value in search.network.named_parameters()
        if not name.endswith("score")
    }

    def loss(values: dict[str, Tensor], batch: Batch) -> Tensor:
        mixture = tuple(torch.softmax(alpha, dim=1) for alpha in search.alphas)
        logits: Tensor = functional_call(search.network, values, (batch[0], *mixture))
        return cross_entropy(logits, batch[1])

    gradients = torch.autograd.grad(loss(weights, train), list(weights.values()), create_graph=True)
    moved = {
        name: value - rate * gradient
        for (name, value), gradient in zip(weights.items(), gradients, strict=True)
    }
    return torch.autograd.grad(loss(moved, valid), search.alphas)


def test_contest_times_every_part_of_a_stage() -> None:
    stages = [Stage.DENSE]
    found = measure(contest(), 1, 1, second_order=True, stages=stages)
    assert list(found) == stages
    for times in found.values():
        assert list(times) == [OURS, PLAIN, UNROLLED]
        assert all(min(t.enter, t.weight, t.alpha, t.finish) > 0 for [t] in times.values())


def test_epochs_are_the_sum_of_their_parts() -> None:
    """64 images in batches of 16: four weight steps and as many architecture steps."""
    ours = Times(enter=1.0, weight=10.0, alpha=5.0, finish=4.0)
    plain = Times(enter=2.0, weight=20.0, alpha=10.0, finish=8.0)
    slow = Times(enter=5.0, weight=100.0, alpha=30.0, finish=45.0)
    assert ours.epoch(4, 4) == 65.0
    found = {stage: {OURS: [ours], PLAIN: [plain]} for stage in STAGES}
    found[Stage.SCORES][PLAIN] = [slow]
    figures = compare(contest(), found)
    assert figures["dense"][PLAIN].value == 2.0
    assert figures["scores"][PLAIN].value == pytest.approx(570 / 65)
    assert figures["search"][PLAIN].value == pytest.approx((130 + 570 + 130) / (3 * 65))
