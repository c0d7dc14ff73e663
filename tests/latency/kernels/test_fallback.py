"""The same file runs without the library, as a dense convolution with the same result."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.latency.kernels.problems import (
    Problem,
    assert_close,
    node_model,
    open_session,
)
from tests.latency.kernels.reference import expected

PROBLEMS = [
    Problem(),
    Problem(out_channels=7, kernel=(3, 3), pads=(1, 1, 1, 1), activation="Relu"),
    Problem(kernel=(5, 3), pads=(4, 0, 1, 2), dilations=(2, 1), size=(12, 9), strides=(1, 2)),
    Problem(out_channels=5, density=0.0, activation="Relu"),
    Problem(density=1.0, batch=3),
]


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_one_file_runs_both_ways(problem: Problem, rows: int) -> None:
    problem = replace(problem, rows=rows)
    model = node_model(problem, fallback=True)
    onnx.checker.check_model(onnx.load_model_from_string(model))
    feed = problem.feed()
    for library in (True, False):
        output = open_session(model, library=library).run(None, feed)[0]
        assert_close(np.asarray(output), expected(problem, feed))


def optimized_operators(model: bytes, path: Path) -> list[str]:
    options = onnxruntime.SessionOptions()
    # Above this level convolutions are only rewritten into forms of one machine.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(path).graph.node]


@pytest.mark.parametrize(
    ("activation", "wanted"),
    [
        ("", ["Conv"]),
        ("Relu", ["FusedConv"]),
        ("Relu6", ["FusedConv"]),
        ("Silu", ["Conv", "QuickGelu"]),
        ("HardSwish", ["Conv", "HardSigmoid", "Mul"]),
    ],
)
def test_fallback_is_folded_to_one_convolution(
    tmp_path: Path, activation: str, wanted: list[str]
) -> None:
    problem = Problem(out_channels=6, kernel=(3, 3), activation=activation)
    model = node_model(problem, fallback=True)
    assert optimized_operators(model, tmp_path / "optimized.onnx") == wanted


def test_without_library_and_function_nothing_runs() -> None:
    with pytest.raises(Exception, match="SparseConv"):
        open_session(node_model(Problem()), library=False)
