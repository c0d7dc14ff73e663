"""The model files that are compared: one network in dense, sparse and int8 form."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import onnx

from benchmarks.dense_form import split_reduces
from benchmarks.rounds import Contender
from latency.graph import INPUT, GraphNode, NetworkGraph
from latency.library_form import library_form
from latency.lowering.build import build_model
from latency.lowering.quantize import quantized
from latency.lowering.weights import random_weights
from latency.operator import Activation, OperatorKind, OperatorSpec, SparsityPattern
from search.space.builtin import BUILTIN
from search.space.dass_cells import build_graph
from search.space.published import PERCENTAGES, published_genotype
from search.space.sparsity import Sparsity, with_sparsity
from search.space.task import CIFAR10

DENSE, INT8, FALLBACK, EMPTY = "dense", "int8", "fallback", "empty session"
SPARSITIES = (80, 90, 95)  # percent
FALLBACK_SPARSITY = 90
SEED = 0

_LAYERS = ((64, 56), (128, 28), (256, 14), (512, 7))  # channels, size: each over 100 us
_CHAIN = 6


CELLS = "dass-"  # what the names of the paper's networks begin with


@dataclass(frozen=True, kw_only=True)
class Sparse:
    """A sparse form of a network in the operator library."""

    pattern: SparsityPattern
    percent: int  # of the weights that are removed

    @property
    def label(self) -> str:
        """Such as `block 90 %`."""
        return f"{self.pattern.value} {self.percent} %"


def networks() -> dict[str, Callable[[], NetworkGraph]]:
    """Return the networks by name: those that everybody knows and the cells of the paper."""

    def published(percentage: int) -> Callable[[], NetworkGraph]:
        return lambda: build_graph(published_genotype(percentage), CIFAR10)

    return {**BUILTIN, **{f"{CELLS}{percent}": published(percent) for percent in PERCENTAGES}}


def choose(names: Iterable[str], only: str) -> list[str]:
    """Return the name that `only` is, or else all names that have it in them."""
    names = list(names)
    return [only] if only in names else [name for name in names if only in name]


def layer_chains() -> dict[str, NetworkGraph]:
    """Return chains of one 3x3 convolution each, as networks."""
    return {
        f"{channels} 3x3 @{size}": chain(_conv3x3(channels, size), _CHAIN)
        for channels, size in _LAYERS
    }


class Workshop:
    """Makes the model files of one network in a folder.

    `every_layer`: depthwise convolutions become sparse too, as in the paper of the cells.
    """

    def __init__(self, graph: NetworkGraph, folder: Path, *, every_layer: bool = False) -> None:
        self._graph = graph
        self._folder = folder
        self._every_layer = every_layer

    def dense(self, threads: int) -> Contender:
        """Return the network in stock ONNX Runtime with every weight kept."""
        return Contender(label=DENSE, model=self._dense_path(), threads=threads)

    def sparse(self, form: Sparse, threads: int) -> Contender:
        """Return the network in the operator library."""
        path = self._sparse_path(form)
        return Contender(label=form.label, model=path, library=True, threads=threads)

    def fallback(self, threads: int) -> Contender:
        """Return the sparse file as it runs where the library is absent."""
        form = Sparse(pattern=SparsityPattern.BLOCK, percent=FALLBACK_SPARSITY)
        return Contender(label=FALLBACK, model=self._sparse_path(form), threads=threads)

    def int8(self, threads: int) -> Contender:
        """Return the dense network in static int8: QDQ, per channel, calibrated on noise."""
        path = self._folder / "int8.onnx"
        onnx.save(quantized(onnx.load(self._dense_path())), path)
        return Contender(label=INT8, model=path, threads=threads)

    def empty(self, threads: int) -> Contender:
        """Return a session with one ReLU: what a process needs before it has a network."""
        spec = OperatorSpec(
            kind=OperatorKind.RELU, in_channels=1, out_channels=1, height=1, width=1
        )
        node = GraphNode(name="relu", spec=spec, inputs=(INPUT,))
        graph = NetworkGraph(input_shape=(1, 1, 1), nodes=(node,))
        return Contender(label=EMPTY, model=self._write("empty", graph), threads=threads)

    def _dense_path(self) -> Path:
        path = self._folder / f"{DENSE}.onnx"
        if not path.exists():
            onnx.save(split_reduces(build_model(self._graph, random_weights(SEED))), path)
        return path

    def _sparse_path(self, form: Sparse) -> Path:
        sparsity = Sparsity(
            pattern=form.pattern,
            density=1.0 - form.percent / 100,
            depthwise=self._every_layer,
        )
        sparse = with_sparsity(self._graph, sparsity)
        return self._write(form.label.replace(" ", "-"), library_form(sparse))

    def _write(self, name: str, graph: NetworkGraph) -> Path:
        path = self._folder / f"{name}.onnx"
        if not path.exists():
            onnx.save(build_model(graph, random_weights(SEED)), path)
        return path


def chain(spec: OperatorSpec, links: int) -> NetworkGraph:
    """Return a network of `links` equal layers, each behind the other."""
    names = [INPUT, *(f"layer{index}" for index in range(links))]
    nodes = tuple(
        GraphNode(name=name, spec=spec, inputs=(source,)) for source, name in pairwise(names)
    )
    return NetworkGraph(input_shape=spec.in_shape, nodes=nodes)


def chain_model(spec: OperatorSpec, links: int) -> bytes:
    """Return a chain in the operator library as an ONNX file."""
    graph = library_form(chain(spec, links))
    model: bytes = build_model(graph, random_weights(SEED)).SerializeToString()
    return model


def _conv3x3(channels: int, size: int) -> OperatorSpec:
    return OperatorSpec(
        kind=OperatorKind.CONV,
        in_channels=channels,
        out_channels=channels,
        height=size,
        width=size,
        kernel=3,
        padding=1,
        activation=Activation.RELU,
    )
