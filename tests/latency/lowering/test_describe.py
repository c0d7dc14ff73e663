"""What a process that must not load onnx learns about a model."""

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from latency.graph import INPUT, GraphNode, NetworkGraph
from latency.lowering.build import build_model
from latency.lowering.describe import REFUSED_EXIT
from latency.lowering.read_model import parse_model, read_model
from latency.lowering.weights import random_weights
from tests.latency.samples import conv

NETWORK = NetworkGraph(
    input_shape=(3, 8, 8),
    nodes=(
        GraphNode(name="a", spec=conv(3, 4), inputs=(INPUT,), parameters="a"),
        GraphNode(name="b", spec=conv(4, 8), inputs=("a",), parameters="b"),
    ),
)


def describe(data: bytes) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "latency.lowering.describe"]
    return subprocess.run(command, input=data, capture_output=True, check=False)


def test_the_network_of_a_model_comes_as_json() -> None:
    model = build_model(NETWORK, random_weights(0))
    found = describe(model.SerializeToString())
    assert found.returncode == 0, found.stderr
    graph = NetworkGraph.from_dict(json.loads(found.stdout))
    assert graph == read_model(model).graph
    assert graph.operators == NETWORK.operators


def test_what_is_refused_is_said_in_one_line() -> None:
    found = describe(b"\x00no model")
    assert found.returncode == REFUSED_EXIT
    assert found.stdout == b""
    assert found.stderr.startswith(b"this is not an ONNX model")
    assert found.stderr.count(b"\n") == 1


@pytest.mark.parametrize("where", ["initializer", "attribute"])
def test_tensors_in_other_files_are_refused(where: str) -> None:
    model = build_model(NETWORK, random_weights(0))
    tensor = numpy_helper.from_array(np.zeros((2, 2), dtype=np.float32), "elsewhere")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../admin-token")
    if where == "initializer":
        model.graph.initializer.append(tensor)
    else:
        model.graph.node.append(helper.make_node("Constant", [], ["outside"], value=tensor))
    with pytest.raises(ValueError, match=r"must be in the file itself, \['elsewhere'\] are not"):
        parse_model(model.SerializeToString())
