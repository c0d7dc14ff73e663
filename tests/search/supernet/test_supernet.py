"""The supernet computes what DARTS defines, although it computes it in groups."""

import pytest
import torch
from torch import Tensor

from search.layers.operations import make_operation
from search.layers.sparse import sparse_layers
from search.space.primitives import OPERATIONS
from search.space.task import TaskShape
from search.supernet.architecture import EDGES, NODE_EDGES, edge_index
from search.supernet.cell import SupernetCell
from search.supernet.mixed_op import GROUPED, MixedEdges
from search.supernet.supernet import Supernet, reduction_indices

TASK = TaskShape(image_channels=1, image_size=8, classes=5)
SKIP = OPERATIONS.index("skip_connect")


def single_edge(mixed: MixedEdges, state: Tensor, edge: int, weights: Tensor) -> Tensor:
    """One mixed operation, written down operation by operation."""
    channels = state.shape[1]
    total = torch.zeros(())
    for column, name in enumerate(OPERATIONS):
        if name == "none":
            continue
        if name in GROUPED:
            operation = make_operation(name, channels, 1, affine=False)
            for path, layer in sparse_layers(operation).items():
                wide = sparse_layers(mixed.grouped[name])[path].weight
                with torch.no_grad():
                    layer.weight.copy_(wide[channels * edge : channels * (edge + 1)])
        else:
            operation = make_operation(name, channels, 1, affine=False)
        total = total + weights[column] * operation(state)
    return total


def test_edges_in_groups_are_the_edges_one_by_one() -> None:
    torch.manual_seed(0)
    mixed = MixedEdges(4, 1, edges=3)
    state = torch.randn(2, 4, 8, 8)
    weights = torch.softmax(torch.randn(3, len(OPERATIONS)), dim=1)
    for edge, found in enumerate(mixed(state, weights)):
        expected = single_edge(mixed, state, edge, weights[edge])
        assert torch.allclose(found, expected, atol=1e-4)


def test_edges_that_halve_the_image_have_skips_of_their_own() -> None:
    torch.manual_seed(0)
    mixed = MixedEdges(4, 2, edges=2)
    weights = torch.zeros(2, len(OPERATIONS))
    weights[:, SKIP] = 1.0
    state = torch.randn(2, 4, 8, 8)
    outputs = mixed(state, weights)
    for skip, found in zip(mixed.skips, outputs, strict=True):
        assert torch.allclose(found, skip(state), atol=1e-5)
    assert not torch.allclose(outputs[0], outputs[1])


@pytest.mark.parametrize("name", [*GROUPED, "max_pool_3x3", "skip_connect", "none"])
def test_operations_that_no_edge_uses_are_left_out_where_weights_want_no_gradient(
    name: str,
) -> None:
    torch.manual_seed(0)
    mixed = MixedEdges(4, 1, edges=2)
    state = torch.randn(2, 4, 8, 8)
    weights = torch.zeros(2, len(OPERATIONS))
    weights[1, OPERATIONS.index(name)] = 0.7
    wanted = mixed(state, weights.clone().requires_grad_())
    called: list[str] = []
    for other, operation in [*mixed.grouped.items(), *mixed.pools.items()]:
        for module in operation.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.register_forward_hook(lambda *_, other=other: called.append(other))
    found = mixed(state, weights)
    assert set(called) == {name} - {"skip_connect", "none"}
    for one, other_one in zip(found, wanted, strict=True):
        assert torch.allclose(one, other_one, atol=1e-6)


def test_cell_sums_its_edges_in_the_order_of_the_alphas() -> None:
    """With skips only, each node is the sum of its inputs times the weights of their edges."""
    torch.manual_seed(0)
    cell = SupernetCell((4, 4), 4, reduction=False, after_reduction=False)
    strength = torch.rand(EDGES)
    weights = torch.zeros(EDGES, len(OPERATIONS))
    weights[:, SKIP] = strength
    older, newer = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    states = [cell.preprocess0(older), cell.preprocess1(newer)]
    edge = 0
    for _ in range(4):
        terms = [strength[edge + source] * state for source, state in enumerate(states)]
        edge += len(states)
        states.append(torch.stack(terms).sum(dim=0))
    found = cell(older, newer, weights)
    assert torch.allclose(found, torch.cat(states[2:], dim=1), atol=1e-5)


def test_edge_index_counts_as_darts_does() -> None:
    pairs = [(node, source) for node, count in enumerate(NODE_EDGES) for source in range(count)]
    assert [edge_index(node, source) for node, source in pairs] == list(range(EDGES))


@pytest.mark.parametrize("cells", [3, 4, 5, 6, 8])
def test_reductions_halve_the_image_and_double_the_channels(cells: int) -> None:
    supernet = Supernet(2, cells, TASK)
    flags = [cell.reduction for cell in supernet.cells]
    assert [index for index, flag in enumerate(flags) if flag] == list(reduction_indices(cells))
    table = torch.full((EDGES, len(OPERATIONS)), 1 / len(OPERATIONS))
    assert supernet(torch.randn(2, 1, 8, 8), table, table).shape == (2, 5)
    assert supernet.classifier.in_features == 2 * 2 * 2 * 4


def test_each_table_reaches_its_own_kind_of_cell() -> None:
    torch.manual_seed(0)
    supernet = Supernet(2, 3, TASK)
    outputs: list[Tensor] = []
    for cell in supernet.cells:
        cell.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    tables = [torch.rand(EDGES, len(OPERATIONS), requires_grad=True) for _ in range(2)]
    supernet(torch.randn(2, 1, 8, 8), tables[0], tables[1])
    assert [cell.reduction for cell in supernet.cells] == [False, True, True]
    probe = torch.randn_like(outputs[0])
    normal, reduce = torch.autograd.grad(
        (outputs[0] * probe).sum(), tables, allow_unused=True, retain_graph=True
    )
    assert normal.any()
    assert reduce is None
    assert not normal[:, 0].any(), "`none` contributes nothing"
    probe = torch.randn_like(outputs[1])
    assert all(g.any() for g in torch.autograd.grad((outputs[1] * probe).sum(), tables))


def test_every_weighted_layer_is_sparse() -> None:
    supernet = Supernet(2, 3, TASK)
    paths = {name.rpartition(".")[0] for name, _ in supernet.named_parameters()}
    assert paths - set(sparse_layers(supernet)) == {"stem_norm"}


def test_no_1x1_convolution_has_a_stride() -> None:
    """Its backward pass corrupts the heap on AVX2 (torch 2.13.0, channels last, few channels)."""
    supernet = Supernet(4, 3, TaskShape(image_channels=1, image_size=16, classes=10))
    strided = [
        name
        for name, module in supernet.named_modules()
        if isinstance(module, torch.nn.Conv2d)
        and module.kernel_size == (1, 1)
        and module.stride != (1, 1)
    ]
    assert strided == []
