"""Every operator of the library is described, correct nodes run, damaged ones never crash."""

import numpy as np
import onnxruntime
import pytest

from latency.kernels import register
from tests.latency.kernels.fuzz import run_child
from tests.latency.kernels.nodes import BASES, correct_node, registered_op_types
from tests.latency.kernels.problems import open_session


@pytest.fixture(scope="module")
def op_types() -> list[str]:
    assert register(onnxruntime.SessionOptions())
    return registered_op_types()


def test_the_library_tells_its_operators(op_types: list[str]) -> None:
    assert {"SparseConv", "SparseConvRelu"} <= set(op_types)
    assert len(set(op_types)) == len(op_types)


def test_correct_nodes_of_every_operator_run(op_types: list[str]) -> None:
    rng = np.random.default_rng(0)
    for op_type in op_types * 3:
        node = correct_node(op_type, rng)
        output = open_session(node.model()).run(None, node.feeds())[0]
        assert np.asarray(output).shape == node.output_shape, op_type


def test_an_operator_without_description_is_found() -> None:
    assert "SparseThing" not in BASES
    with pytest.raises(ValueError, match="SparseThing"):
        correct_node("ReluSparseThingAddRelu6", np.random.default_rng(0))


def test_random_damage_never_crashes() -> None:
    outcomes = run_child(seed=1, begin=0, end=300)
    assert len(outcomes) == 300
    refused = sum(outcome.is_refused for outcome in outcomes)
    assert 100 < refused < 300
