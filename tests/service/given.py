"""Networks that users bring, as ONNX files made without torch."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from latency.graph import NetworkGraph
from latency.lowering.build import build_model
from latency.lowering.weights import random_weights
from search.space.stage_genotype import BlockKind, Stage, StageGenotype
from search.space.stage_networks import build_stages
from search.space.task import TaskShape

EIGHT = TaskShape(image_channels=1, image_size=8, classes=3)
_GENOTYPE = StageGenotype(
    stem=16,
    stages=(
        Stage(kind=BlockKind.PLAIN, width=16, depth=1),
        Stage(kind=BlockKind.BASIC, width=32, depth=1, stride=2),
        Stage(kind=BlockKind.PLAIN, width=32, depth=1),
    ),
)


def given_graph(task: TaskShape = EIGHT) -> NetworkGraph:
    """Return a small network of a few convolutions and a sum."""
    return build_stages(_GENOTYPE, task)


def given_file(task: TaskShape = EIGHT) -> bytes:
    """Return its ONNX file, with random weights."""
    return bytes(build_model(given_graph(task), random_weights(0)).SerializeToString())


def exploding_file() -> bytes:
    """Return a network whose results are too large for float32: no two runtimes agree on them."""
    model = build_model(given_graph(), random_weights(0))
    for tensor in model.graph.initializer:
        weight = numpy_helper.to_array(tensor)
        if weight.ndim == 4:
            large = (weight * np.float32(1e12)).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(large, tensor.name))
    return bytes(model.SerializeToString())


def unreadable_file() -> bytes:
    """Return a model with three nodes of two types that nobody reads."""
    nodes = [
        helper.make_node("Tanh", ["image"], ["a"], name="first"),
        helper.make_node("Softplus", ["a"], ["b"], name="second"),
        helper.make_node("Tanh", ["b"], ["c"], name="third"),
    ]
    values = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 1, 8, 8])
        for name in ("image", "c")
    ]
    graph = helper.make_graph(nodes, "unreadable", values[:1], values[1:])
    opset = [helper.make_opsetid("", 20)]
    return bytes(helper.make_model(graph, opset_imports=opset).SerializeToString())
