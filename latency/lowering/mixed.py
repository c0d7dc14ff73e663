"""A stock network some of whose operators are int8, as a model: built in float32, then quantized.

What is next to each other in int8 stays so; the runtime's quantizer puts conversions where the
dtype changes (`latency.estimate.execution` says which they are).
"""

from collections.abc import Collection, Iterator

import numpy as np
import numpy.typing as npt
import onnx

from latency.graph import NetworkGraph
from latency.lowering.build import build_model
from latency.lowering.quantize import quantized
from latency.lowering.weights import WeightSource


def build_mixed(
    graph: NetworkGraph,
    weights: WeightSource,
    images: npt.NDArray[np.float32] | None = None,
    metadata: dict[str, str] | None = None,
) -> onnx.ModelProto:
    """Return the model of a network whose operators have the dtypes that its specs say.

    Args:
        graph: a stock network.
        weights: as for `build_model`, in float32 for every operator.
        images: (N, C, H, W), that the ranges of activations are taken from; noise where not given.
        metadata: text for the model's metadata properties.

    Raises:
        QuantizationError: ONNX Runtime cannot quantize it.
        ValueError: as `build_model`.
    """
    model = build_model(graph.with_int8(()), weights, metadata)
    chosen = set(graph.int8_names)
    if not chosen:
        return model
    names = {node.name for node in graph.nodes}
    only = [node.name for node in model.graph.node if _owner(node.name, names) in chosen]
    return quantized(model, images, only)


def _owner(name: str, operators: Collection[str]) -> str | None:
    """Return the operator that a node of a model belongs to: its name begins the node's."""
    return next((prefix for prefix in _prefixes(name) if prefix in operators), None)


def _prefixes(name: str) -> Iterator[str]:
    while name:
        yield name
        name = name.rpartition(".")[0]
