"""ONNX Runtime knows the shape of an output when a model is loaded, wherever its input's is."""

from dataclasses import replace

import pytest

from tests.latency.kernels.problems import Problem, node_model, open_session

PROBLEMS = [
    Problem(size=(9, 11)),
    Problem(size=(9, 12), kernel=(3, 5), pads=(1, 0, 2, 2), strides=(2, 3), dilations=(2, 1)),
    Problem(size=(9, 12), kernel=(3, 3), pads=(1,) * 4, group=2, batch=3),
    Problem(size=(9, 12), residual=True, activation="Relu6", relu_input=True),
    Problem(size=(9, 16), kernel=(3, 3), computed=0.5),
]


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.op_type.name)
def test_the_shape_is_known(problem: Problem) -> None:
    session = open_session(node_model(problem))
    wanted = [problem.batch, problem.out_channels, *problem.out_size]
    assert session.get_outputs()[0].shape == wanted
    assert session.run(None, dict(problem.feed()))[0].shape == tuple(wanted)


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.op_type.name)
def test_symbolic_shapes_stay_symbolic(problem: Problem) -> None:
    session = open_session(node_model(problem, dynamic=True))
    assert not any(isinstance(size, int) for size in session.get_outputs()[0].shape)
    larger = replace(problem, size=(20, 32), batch=2)
    if problem.computed is None:
        assert session.run(None, dict(larger.feed()))[0].shape[2:] == larger.out_size


def test_a_window_that_does_not_fit_is_no_error_before_a_run() -> None:
    problem = Problem(size=(2, 2), kernel=(3, 3))
    session = open_session(node_model(problem))
    with pytest.raises(Exception, match="window is larger than the padded input"):
        session.run(None, dict(problem.feed()))
