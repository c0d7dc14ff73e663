"""The reference model: a fixed small network that tells how fast the machine is right now.

Two dense 3x3 convolutions of 32 channels on 16x16 pixels: 5 million multiply-adds, all of it in
the second-level cache of any board. It must not change: its times are compared over years.
"""

from itertools import pairwise

from latency.graph import INPUT, GraphNode, NetworkGraph
from latency.lowering.build import build_model
from latency.lowering.weights import random_weights
from latency.operator import Activation, OperatorKind, OperatorSpec

_LAYERS = 2
_LAYER = OperatorSpec(
    kind=OperatorKind.CONV,
    in_channels=32,
    out_channels=32,
    height=16,
    width=16,
    kernel=3,
    padding=1,
    activation=Activation.RELU,
)


def reference_graph() -> NetworkGraph:
    """Return the reference model as a graph."""
    names = [INPUT, *(f"layer{index}" for index in range(_LAYERS))]
    nodes = tuple(
        GraphNode(name=name, spec=_LAYER, inputs=(source,)) for source, name in pairwise(names)
    )
    return NetworkGraph(input_shape=_LAYER.in_shape, nodes=nodes)


def reference_model() -> bytes:
    """Return the reference model as ONNX."""
    model: bytes = build_model(reference_graph(), random_weights(0)).SerializeToString()
    return model
