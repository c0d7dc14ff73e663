"""What is fused around a convolution: residual, activations, ReLU on load; every op type exists."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest

from latency.kernels import register
from latency.lowering.fallbacks import FAMILIES, fallback_function, op_types
from latency.lowering.op_types import OpType
from tests.latency.kernels.nodes import registered_op_types
from tests.latency.kernels.problems import (
    Problem,
    assert_close,
    node_model,
    one_node_model,
    open_session,
    run,
)
from tests.latency.kernels.reference import activate, expected

CONVOLUTIONS = op_types("SparseConv")


@pytest.mark.parametrize("op_type", CONVOLUTIONS, ids=lambda op_type: op_type.name)
@pytest.mark.parametrize(
    "shape",
    [
        Problem(size=(9, 11)),
        Problem(size=(1, 1)),
        Problem(size=(7, 7), out_channels=6),
        Problem(size=(19, 20), kernel=(3, 3), pads=(1, 1, 1, 1), rows=1, batch=2),
        Problem(size=(9, 17), kernel=(3, 3), pads=(1, 1, 1, 1), group=2, in_channels=6),
    ],
    ids=lambda shape: f"{shape.kernel[0]}x{shape.kernel[0]} @{shape.size[0]}",
)
def test_library_and_fallback_give_the_same(op_type: OpType, shape: Problem) -> None:
    problem = replace(
        shape,
        relu_input=op_type.relu_input,
        residual=op_type.residual,
        activation=op_type.activation,
    )
    feed = problem.feed()
    model = node_model(problem, fallback=True)
    assert problem.op_type == op_type
    for library in (True, False):
        output = open_session(model, library=library).run(None, feed)[0]
        assert_close(np.asarray(output), expected(problem, feed))


def identity_model(activation: str, count: int) -> bytes:
    """Return a model that does nothing but activate `count` pixels."""
    return one_node_model(
        f"SparseConv{activation}",
        {
            "weight_shape": [1, 1, 1, 1],
            "strides": [1, 1],
            "dilations": [1, 1],
            "pads": [0] * 4,
            "group": 1,
        },
        {
            "values": np.ones((1, 1), dtype=np.float32),
            "indices": np.zeros(1, dtype=np.int32),
            "bias": np.zeros(1, dtype=np.float32),
        },
        {"x": (1, 1, 1, count)},
    )


@pytest.mark.parametrize("activation", ["Silu", "HardSwish"])
def test_activations_are_exact_to_a_millionth(activation: str) -> None:
    rng = np.random.default_rng(0)
    spread = np.concatenate([np.linspace(-80, 80, 20001), rng.normal(size=5001), [0.0, -3.0, 3.0]])
    x = spread.astype(np.float32)
    output = open_session(identity_model(activation, x.size)).run(
        None, {"x": x.reshape(1, 1, 1, -1)}
    )[0]
    wanted = activate(x.astype(np.float64), activation)
    np.testing.assert_allclose(np.asarray(output).reshape(-1), wanted, rtol=1.2e-6, atol=2e-7 * 3)


def test_silu_of_extreme_values() -> None:
    extreme = [-1e30, -1000.0, -100.0, -90.0, 89.0, 1000.0, 1e30, np.inf, -np.inf, np.nan]
    x = np.array(extreme, dtype=np.float32).reshape(1, 1, 1, -1)
    output = open_session(identity_model("Silu", x.size)).run(None, {"x": x})[0]
    wanted = [0, 0, 0, 0, 89.0, 1000.0, 1e30, np.inf, np.nan, np.nan]
    np.testing.assert_allclose(np.asarray(output).reshape(-1), wanted, rtol=1e-6, atol=1e-30)


def test_a_residual_of_another_shape_is_an_error_that_names_the_node() -> None:
    problem = Problem(residual=True)
    feed = problem.feed()
    feed["residual"] = feed["residual"][:, :, :, :-1]
    with pytest.raises(Exception, match="'the-node': residual must have the shape of the output"):
        open_session(node_model(problem, dynamic=True)).run(None, feed)


@pytest.mark.parametrize("groups", [2, 3])
@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("kernel", [1, 3])
def test_groups(groups: int, rows: int, kernel: int) -> None:
    problem = Problem(
        out_channels=8 * groups,
        in_channels=5 * groups,
        group=groups,
        rows=rows,
        size=(13, 18),
        kernel=(kernel, kernel),
        pads=(kernel // 2,) * 4,
        density=0.2,
    )
    feed = problem.feed()
    single = run(problem, feed)
    assert_close(single, expected(problem, feed))
    np.testing.assert_array_equal(run(problem, feed, threads=2), single)


def test_every_operator_has_a_fallback_and_every_fallback_an_operator() -> None:
    register(onnxruntime.SessionOptions())
    names = [op.name for family in FAMILIES for op in family.op_types()]
    assert len(names) == len(set(names)) == 20 + 10 + 5 + 10 + 3
    assert sorted(names) == registered_op_types()


def test_unknown_names_have_no_fallback() -> None:
    with pytest.raises(ValueError, match="no operator 'SparseGemmAdd'"):
        fallback_function("SparseGemmAdd")
    with pytest.raises(ValueError, match="no operators of base 'Gemm'"):
        op_types("Gemm")
