"""The supernet of stages holds every network of its skeleton, weights shared."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from search.finalize.stage_network import (
    BasicBlock,
    InvertedResidual,
    PlainBlock,
    StageNetwork,
)
from search.layers.sparse import LayerMode, freeze_masks, set_mode, sparse_layers
from search.space.stage_genotype import KERNELS, BlockKind
from search.space.stage_skeleton import StageSkeleton
from search.space.task import TaskShape
from search.supernet.stage_block import MixedBlock
from search.supernet.stage_supernet import MixedStage, StageSupernet
from tests.search.space.stages import chosen_by, random_alphas

SKELETONS = {
    size: StageSkeleton(width=4, task=TaskShape(image_channels=1, image_size=size, classes=3))
    for size in (8, 16)
}


def supernet_of(skeleton: StageSkeleton) -> StageSupernet:
    torch.manual_seed(0)
    return StageSupernet(skeleton)


def mixtures(skeleton: StageSkeleton, seed: int) -> list[Tensor]:
    tables = random_alphas(seed, skeleton=skeleton).values()
    return [torch.softmax(torch.from_numpy(table).float(), dim=1) for table in tables]


@torch.no_grad()
def copy_part(target: nn.Module, source: nn.Module) -> None:
    """Copy the weights that a layer has in common with a wider one: its first channels."""
    assert isinstance(target, nn.Conv2d | nn.Linear)
    assert isinstance(source, nn.Conv2d | nn.Linear)
    out_channels, in_channels = target.weight.shape[:2]
    target.weight.copy_(source.weight[:out_channels, :in_channels])
    if target.bias is not None:
        assert source.bias is not None
        target.bias.copy_(source.bias)


def blocks_of(stage: nn.Module) -> list[MixedBlock]:
    assert isinstance(stage, MixedStage)
    return [block for block in stage.blocks if isinstance(block, MixedBlock)]


def copy_block(target: nn.Module, source: MixedBlock) -> None:
    if isinstance(target, BasicBlock):
        copy_part(target.conv1, source.conv1)
        copy_part(target.conv2, source.conv2)
        if target.shortcut is not None:
            copy_part(target.shortcut, source.shortcut)
    elif isinstance(target, PlainBlock):
        copy_part(target.conv, source.plain)
    else:
        assert isinstance(target, InvertedResidual)
        assert target.expand is not None
        kernel = KERNELS[BlockKind.INVERTED].index(int(target.depthwise.kernel_size[0]))
        copy_part(target.expand, source.expand)
        copy_part(target.depthwise, source.filters[kernel])
        copy_part(target.project, source.project)


def network_of(supernet: StageSupernet, seed: int) -> tuple[StageNetwork, list[Tensor]]:
    """Return a discrete network with the weights of the supernet, and its one-hot mixtures."""
    alphas = random_alphas(seed, skeleton=supernet.skeleton)
    network = StageNetwork(supernet.skeleton.genotype(chosen_by(alphas)), supernet.skeleton.task)
    copy_part(network.stem, supernet.stem)
    for stage, mixed in zip(network.stages, supernet.stages, strict=True):
        assert isinstance(stage, nn.Sequential)
        for block, source in zip(stage, blocks_of(mixed)[: len(stage)], strict=True):
            copy_block(block, source)
    if network.head is not None:
        copy_part(network.head, supernet.head)
    copy_part(
        network.logits, supernet.classifier if network.head is None else supernet.head_classifier
    )
    chosen = [
        nn.functional.one_hot(torch.from_numpy(t).argmax(dim=1), t.shape[1]).float()
        for t in alphas.values()
    ]
    return network, chosen


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 100_000), size=st.sampled_from(sorted(SKELETONS)))
def test_with_one_hot_mixtures_it_is_the_discrete_network(seed: int, size: int) -> None:
    supernet = supernet_of(SKELETONS[size])
    network, chosen = network_of(supernet, seed)
    images = torch.randn(6, 1, size, size, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        wanted, found = network(images), supernet(images, *chosen)
    assert float(wanted.std()) > 1e-3
    assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-4)


def test_every_mixture_matters_and_so_does_every_weight() -> None:
    supernet = supernet_of(SKELETONS[16])
    mixed = [m.requires_grad_() for m in mixtures(SKELETONS[16], 3)]
    loss = supernet(torch.randn(4, 1, 16, 16), *mixed).square().sum()
    weights = {n: p for n, p in supernet.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(loss, [*mixed, *weights.values()])
    assert all(bool(g.isfinite().all()) for g in gradients)
    for gradient in gradients[: len(mixed)]:
        assert bool((gradient != 0).all()), "each option of each row"
    for name, gradient in zip(weights, gradients[len(mixed) :], strict=True):
        assert bool(gradient.any()), name


def test_an_option_of_no_probability_leaves_no_trace() -> None:
    skeleton = SKELETONS[8]
    supernet = supernet_of(skeleton)
    chosen = mixtures(skeleton, 1)
    chosen[0][:, 2:] = 0.0  # no inverted residual at all
    images = torch.randn(4, 1, 8, 8)
    with torch.no_grad():
        before = supernet(images, *chosen)
        for stage in supernet.stages:
            for block in blocks_of(stage):
                block.project.weight.normal_()
        assert torch.equal(supernet(images, *chosen), before)
    assert bool(before.isfinite().all())


def test_every_weighted_layer_is_sparse_and_norms_have_no_scale() -> None:
    supernet = supernet_of(SKELETONS[8])
    paths = {name.rpartition(".")[0] for name, _ in supernet.named_parameters()}
    assert paths - set(sparse_layers(supernet)) == {"stem_norm"}


def test_no_1x1_convolution_has_a_stride() -> None:
    """Its backward pass corrupts the heap on AVX2 (torch 2.13.0, channels last, few channels)."""
    strided = [
        name
        for name, module in supernet_of(SKELETONS[16]).named_modules()
        if isinstance(module, nn.Conv2d)
        and module.kernel_size == (1, 1)
        and module.stride != (1, 1)
    ]
    assert strided == []


@pytest.mark.parametrize("mode", [LayerMode.SCORES, LayerMode.MASKED])
def test_sparse_modes_work(mode: LayerMode) -> None:
    supernet = supernet_of(SKELETONS[8])
    for layer in sparse_layers(supernet).values():
        layer.density = 0.3
    freeze_masks(supernet)
    set_mode(supernet, mode)
    supernet(torch.randn(4, 1, 8, 8), *mixtures(SKELETONS[8], 2)).square().sum().backward()
    trained = "score" if mode is LayerMode.SCORES else "weight"
    for path, layer in sparse_layers(supernet).items():
        gradient = getattr(layer, trained).grad
        assert gradient is not None, path
        assert 0 < layer.kept_weights() < layer.weight.numel() or layer.weight.numel() < 4, path
