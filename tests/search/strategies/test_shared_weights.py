"""A discrete network with the weights of a supernet that was really trained, if only a little."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from search.data.datasets import load_dataset
from search.engine.checkpoint import load_checkpoint, save_checkpoint
from search.engine.search_stage import CHECKPOINT, search_halves
from search.space.cell_encoding import encode_edges
from search.space.genotype import Genotype
from search.stages import run_search
from search.strategies.shared_weights import SharedWeights, load_shared_weights
from search.supernet.supernet import Supernet
from tests.search.engine.small import RECIPE, Events, small_loop, small_request
from tests.search.space.tables import some_genotype

CONVS = Genotype(
    normal=(("sep_conv_3x3", 0), ("max_pool_3x3", 1)) * 4,
    reduce=(("dil_conv_3x3", 0), ("sep_conv_5x5", 1)) * 4,
    channels=4,
    cells=3,
)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> SharedWeights:
    """Return the judge after a search in which the supernet has learnt something."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("judge")
    recipe = replace(
        RECIPE,
        dense_epochs=4,
        supernet_channels=4,
        steps_per_epoch=3,
        weight_lr=0.1,
        weights_per_alpha=10,  # never in an epoch: the mixture stays as it is drawn
    )
    loop = small_loop(small_request(folder), recipe)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        loop.train(folder / "search.pt", Events())
        mixture = [torch.softmax(table.detach(), dim=1) for table in loop.run.alphas.parameters()]
        assert isinstance(loop.run.supernet, Supernet)
        return SharedWeights(loop.run.supernet, mixture, loop.data)


def test_the_same_network_is_always_judged_alike(judge: SharedWeights) -> None:
    genotypes = [some_genotype(seed) for seed in range(4)]
    first = [judge(genotype) for genotype in genotypes]
    again = [judge(genotype) for genotype in reversed(genotypes)]
    assert again == first[::-1]
    assert all(0.0 <= accuracy <= 1.0 for accuracy in first)


def test_networks_with_the_weights_know_what_the_supernet_has_learnt(judge: SharedWeights) -> None:
    accuracies = [judge(some_genotype(seed)) for seed in range(6)]
    assert max(accuracies) > 0.6, "a guess is right once in three times"
    assert len(set(accuracies)) > 1, "operations make a difference"


def test_nodes_are_as_large_as_in_the_trained_mixture(judge: SharedWeights) -> None:
    """Nearly so where no skip hands the size of one node on to the next."""
    wanted = judge._sizes_KN
    plain = [torch.from_numpy(table).float() for table in encode_edges([CONVS])[0]]
    assert not torch.allclose(judge._node_sizes(plain), wanted, rtol=0.2)
    assert torch.allclose(judge._node_sizes(judge._scaled(CONVS)), wanted, rtol=0.05)


def test_judged_are_images_that_no_weight_has_seen(tmp_path: Path) -> None:
    request = small_request(tmp_path)
    dataset = load_dataset(request.dataset)
    data = search_halves(dataset, request.seed)
    run_search(request, tmp_path, dataset, None, Events())
    judge = load_shared_weights(request, tmp_path, dataset)
    assert torch.equal(torch.cat(judge._images), data.alphas.images)
    assert torch.equal(torch.cat(judge._seen), data.weights.images[: sum(map(len, judge._seen))])
    assert judge.judged_images == len(data.alphas)
    # Another budget is another request, but the same supernet.
    tighter = load_shared_weights(replace(request, tighten=0.9), tmp_path, dataset)
    assert tighter(CONVS) == judge(CONVS)


def test_a_search_that_has_not_ended_is_refused(tmp_path: Path) -> None:
    request = small_request(tmp_path)
    dataset = load_dataset(request.dataset)
    with pytest.raises(KeyboardInterrupt):
        run_search(request, tmp_path, dataset, None, Events(stop_after=1))
    with pytest.raises(ValueError, match="ended in epoch 1 of 3"):
        load_shared_weights(request, tmp_path, dataset)


def test_only_cells_are_judged(tmp_path: Path) -> None:
    request = replace(small_request(tmp_path), space="stages")
    dataset = load_dataset(request.dataset)
    run_search(request, tmp_path, dataset, None, Events())
    with pytest.raises(ValueError, match="not the space 'stages'"):
        load_shared_weights(request, tmp_path, dataset)


def test_a_supernet_of_another_form_is_refused(tmp_path: Path) -> None:
    request = small_request(tmp_path)
    loop = small_loop(request)  # of two channels where the recipe has four
    save_checkpoint(tmp_path / CHECKPOINT, {**loop.run.state_dict(), "epoch": 3})
    assert load_checkpoint(tmp_path / CHECKPOINT)["epoch"] == 3
    with pytest.raises(ValueError, match="the supernet of the search has another form"):
        load_shared_weights(request, tmp_path, load_dataset(request.dataset))
