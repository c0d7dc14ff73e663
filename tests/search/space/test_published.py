import pytest

from latency.graph import NetworkGraph
from latency.operator import OperatorKind
from search.space.dass_cells import MERGED_KERNEL, build_graph
from search.space.published import PERCENTAGES, SIZES, published_genotype
from search.space.task import CIFAR10


def published_graph(percentage: int, size: str) -> NetworkGraph:
    return build_graph(published_genotype(percentage, size), CIFAR10)


def weights_and_macs(graph: NetworkGraph) -> tuple[int, int]:
    """Count as DASS builds it: two 1x1 convolutions where ours merges them into a 2x2 one."""
    weights = macs = 0
    for spec in graph.operators:
        merged = spec.kind is OperatorKind.CONV and spec.kernel == MERGED_KERNEL
        weights += spec.num_weights // (4 if merged else 1)
        macs += spec.macs // (4 if merged else 1)
    return weights, macs


# Counted from the authors' code by other means, without the auxiliary head: millions.
@pytest.mark.parametrize(
    ("percentage", "size", "weights", "macs"),
    [
        (99, "tiny", 0.980, 158),
        (99, "small", 1.701, 275),
        (99, "medium", 5.360, 970),
        (99, "large", 10.541, 1739),
        (95, "small", 3.914, 612),
        (90, "small", 3.890, 624),
    ],
)
def test_size_is_that_of_the_authors(
    percentage: int, size: str, weights: float, macs: float
) -> None:
    counted_weights, counted_macs = weights_and_macs(published_graph(percentage, size))
    assert counted_weights / 1e6 == pytest.approx(weights, abs=0.0006)
    assert counted_macs / 1e6 == pytest.approx(macs, abs=0.6)


@pytest.mark.parametrize("percentage", PERCENTAGES)
def test_every_published_cell_builds_in_every_size(percentage: int) -> None:
    for size in SIZES:
        graph = published_graph(percentage, size)
        assert graph.nodes[-1].spec.out_channels == 10


def test_main_cell_has_one_operation_with_weights() -> None:
    normal = published_genotype(99).normal
    assert [operation for operation, _ in normal if "conv" in operation] == ["dil_conv_5x5"]
    assert normal[6:] == (("skip_connect", 4), ("skip_connect", 3))


@pytest.mark.parametrize(
    ("percentage", "size", "reason"), [(80, "small", "percentage"), (90, "huge", "size")]
)
def test_what_was_not_published_is_refused(percentage: int, size: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        published_genotype(percentage, size)
