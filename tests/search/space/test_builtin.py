from collections import Counter

import pytest

from latency.graph import NetworkGraph
from latency.lowering.patterns import kept_groups
from latency.operator import BLOCK_ROWS, OperatorKind, SparsityPattern
from search.space.builtin import BUILTIN, mobilenet_v2, resnet18, resnet18_cifar
from search.space.dass_cells import MERGED_KERNEL, build_graph
from search.space.published import published_genotype
from search.space.sparsity import Sparsity, with_sparsity
from search.space.task import TaskShape


def totals(graph: NetworkGraph) -> tuple[float, float]:
    """Return millions of weights, without biases, and of multiply-adds."""
    specs = graph.operators
    return sum(s.num_weights for s in specs) / 1e6, sum(s.macs for s in specs) / 1e6


# Multiply-adds as the papers give them, rounded there; the rest follows from the tables of
# layers: what torchvision counts, less batch norm and biases (3.505 and 11.690 M in all).
@pytest.mark.parametrize(
    ("name", "weights", "macs", "stated"),
    [
        ("mobilenet-v2", 3.470, 300.8, 300),
        ("mobilenet-v2-cifar", 2.203, 87.9, 88),
        ("resnet-18", 11.679, 1814.1, 1800),
        ("resnet-18-cifar", 11.164, 555.4, 560),
    ],
)
def test_size_is_known(name: str, weights: float, macs: float, stated: float) -> None:
    counted_weights, counted_macs = totals(BUILTIN[name]())
    assert counted_weights == pytest.approx(weights, abs=0.001)
    assert counted_macs == pytest.approx(macs, abs=0.1)
    assert counted_macs == pytest.approx(stated, rel=0.01)


def kinds(graph: NetworkGraph) -> Counter[str]:
    return Counter(spec.kind.value for spec in graph.operators)


def test_mobilenet_has_its_blocks() -> None:
    graph = mobilenet_v2()
    assert kinds(graph) == {"conv": 52, "add": 10, "global-avg-pool": 1, "linear": 1}
    assert sum(spec.groups > 1 for spec in graph.operators) == 17
    clipped = [n.name for n in graph.nodes if n.spec.activation == "relu6"]
    assert len(clipped) == 52 - 17  # every convolution but the 17 that project


def test_resnet_has_its_blocks() -> None:
    expected = {"conv": 20, "relu": 8, "add": 8, "max-pool": 1, "global-avg-pool": 1, "linear": 1}
    assert kinds(resnet18()) == expected
    assert kinds(resnet18_cifar()) == {k: n for k, n in expected.items() if k != "max-pool"}


@pytest.mark.parametrize("name", BUILTIN)
def test_last_image_size(name: str) -> None:
    assert BUILTIN[name]().nodes[-2].spec.height == (4 if name.endswith("cifar") else 7)


@pytest.mark.parametrize("name", BUILTIN)
def test_stem_and_depthwise_stay_dense(name: str) -> None:
    graph = with_sparsity(BUILTIN[name](), Sparsity(pattern=SparsityPattern.BLOCK, density=0.1))
    for node in graph.nodes:
        weighted = node.spec.weight_shape is not None
        sparse = weighted and node.name != "stem" and node.spec.groups == 1
        assert node.spec.pattern is (SparsityPattern.BLOCK if sparse else SparsityPattern.DENSE)
        assert node.spec.density == (0.1 if sparse else 1.0)


def test_merged_kernel_keeps_its_share() -> None:
    task = TaskShape(image_channels=3, image_size=32, classes=10)
    graph = build_graph(published_genotype(90, "tiny"), task)
    sparse = with_sparsity(graph, Sparsity(pattern=SparsityPattern.BLOCK, density=0.1))
    merged = next(
        node.spec
        for node in sparse.nodes
        if node.spec.kind is OperatorKind.CONV and node.spec.kernel == MERGED_KERNEL
    )
    assert merged.weight_shape is not None
    kept = BLOCK_ROWS * kept_groups(merged.pattern, merged.weight_shape, merged.density)
    real_weights = merged.in_channels * merged.out_channels
    assert kept == pytest.approx(0.1 * real_weights, rel=0.01)
