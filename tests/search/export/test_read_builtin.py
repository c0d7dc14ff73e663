"""Whole networks that are written as ONNX are read as the same operators."""

import pytest

from latency.library_form import library_form
from latency.lowering.build import build_model
from latency.lowering.fastest_form import fastest_form
from latency.lowering.read_model import read_model
from latency.lowering.weights import random_weights
from search.space.builtin import BUILTIN


@pytest.mark.parametrize("network", ["mobilenet-v2-cifar", "resnet-18-cifar"])
def test_what_is_read_is_what_was_built(network: str) -> None:
    graph = BUILTIN[network]()
    read = read_model(build_model(graph, random_weights(0)))
    assert read.graph.operators == graph.operators
    assert fastest_form(read).network.graph.operators == library_form(graph).operators
