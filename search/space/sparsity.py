"""What a network costs once it is sparse: the sparsity that a search plans for, before any mask."""

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache

from latency.estimate.estimator import Prediction, Price, PriceSource
from latency.estimate.lookup_table import TableEstimator
from latency.graph import INPUT, GraphNode, NetworkGraph
from latency.operator import OperatorKind, OperatorSpec, Regime, SparsityPattern
from latency.table import LatencyTable
from search.space.dass_cells import MERGED_KERNEL

# What a layer of a network can be in stock runtimes and in the library alike.
LAYER_PATTERNS = (SparsityPattern.DENSE, SparsityPattern.UNSTRUCTURED, SparsityPattern.BLOCK)
MERGED_SHARE = 0.25  # of the places of a merged factorized reduce are weights of the network
_FUSED = (OperatorKind.RELU, OperatorKind.ADD)


class Allocation(StrEnum):
    """How the density of a whole network becomes densities of its layers."""

    GLOBAL = "global"  # one threshold for all layers, with floors
    PER_LAYER = "per-layer"  # the same density everywhere, as in DASS and HYDRA


class MaskRule(StrEnum):
    """How weights leave while the density falls."""

    HARD = "hard"  # at once: they are masked
    SOFT = "soft"  # a little more with every step: iterative soft shrinkage, arXiv 2303.09650
    ENVELOPE = "envelope"  # by a proximal step: group sparse envelope, arXiv 2212.12921
    ADMM = "admm"  # drawn to the nearest weights that have the masks: arXiv 1804.03294


@dataclass(frozen=True, kw_only=True)
class Sparsity:
    """The pattern, and the fraction of weights that every sparse layer is planned to keep.

    Depthwise convolutions hold few weights, and one that loses a filter loses its channel; so they
    stay dense unless asked for, and are then pruned weight by weight.
    """

    pattern: SparsityPattern
    density: float
    depthwise: bool = False


def with_sparsity(graph: NetworkGraph, sparsity: Sparsity) -> NetworkGraph:
    """Return the graph with every full convolution but the stem, and the classifier, made sparse.

    Whatever reads the image stays dense: it holds few weights, and what is lost there is lost for
    good.
    """
    return replace(graph, nodes=tuple(_sparse_node(node, sparsity) for node in graph.nodes))


@lru_cache(maxsize=8192)
def sparse_spec(spec: OperatorSpec, sparsity: Sparsity) -> OperatorSpec:
    """Return a full convolution or linear layer with the planned sparsity; others unchanged.

    A merged factorized reduce keeps a quarter of the density, because three quarters of its
    places are no weights of the network.
    """
    if spec.is_depthwise and sparsity.depthwise:
        return replace(spec, pattern=SparsityPattern.UNSTRUCTURED, density=sparsity.density)
    full = spec.kind is OperatorKind.CONV and spec.groups == 1
    if spec.pattern is not SparsityPattern.DENSE or not (full or spec.kind is OperatorKind.LINEAR):
        return spec
    share = MERGED_SHARE if spec.kernel == MERGED_KERNEL else 1.0
    return replace(spec, pattern=sparsity.pattern, density=share * sparsity.density)


class PlannedEstimator:
    """An estimator that prices dense networks as they will be when they are sparse.

    `plain` prices networks as they are; `regime` is the one in which operators are priced.

    Layers that already have a pattern keep it. In stock runtimes zeros are worth nothing, and
    every price is that of the dense operator.

    Args:
        estimator: of the target.
        sparsity: what is planned.
        probe: a typical network of the space; in the regime in which it is fastest, operators
            are priced. Whole networks are always predicted in their own fastest regime.
    """

    def __init__(self, estimator: TableEstimator, sparsity: Sparsity, probe: NetworkGraph) -> None:
        self.plain = estimator
        self.sparsity = sparsity
        self.regime = self.predict(probe).regime

    @property
    def table(self) -> LatencyTable:
        """The table version that every answer rests on."""
        return self.plain.table

    def price(self, spec: OperatorSpec) -> Price:
        """Return the marginal cost of one operator of a network that is sparse as planned.

        ReLUs and sums cost nothing where the library fuses them.
        """
        if self.regime is Regime.STOCK:
            return self.plain.price(spec)
        if spec.kind in _FUSED:
            return Price(ns=0.0, spread_ns=0.0, source=PriceSource.MEASURED)
        return self.plain.price(replace(sparse_spec(spec, self.sparsity), regime=Regime.LIBRARY))

    def predict(self, graph: NetworkGraph) -> Prediction:
        """Return the latency of a network that is sparse as planned, in its fastest regime."""
        return self.plain.predict(with_sparsity(graph, self.sparsity))

    def fastest_form(self, graph: NetworkGraph) -> NetworkGraph:
        """Return the sparse network in the regime in which it is fastest."""
        return self.plain.fastest_form(with_sparsity(graph, self.sparsity))


def _sparse_node(node: GraphNode, sparsity: Sparsity) -> GraphNode:
    if INPUT in node.inputs:
        return node
    return node.with_spec(sparse_spec(node.spec, sparsity))
