from itertools import pairwise

import numpy as np
import onnxruntime
import pytest

from latency.graph import INPUT, NetworkGraph
from latency.lowering.build import build_model
from latency.lowering.weights import random_weights
from latency.operator import OperatorKind, OperatorSpec, SparsityPattern
from tests.latency import samples
from tests.latency.lowering import reference

SPARSE = (
    samples.conv(8, 12, 5, pattern=SparsityPattern.UNSTRUCTURED, density=0.1),
    samples.conv(8, 10, 5, kernel=3, padding=1, pattern=SparsityPattern.BLOCK, density=0.3),
)


def alone(spec: OperatorSpec) -> NetworkGraph:
    """A network of one operator; a merge reads one tensor several times."""
    return NetworkGraph(
        input_shape=spec.in_shape, nodes=(samples.node("only", spec, *[INPUT] * spec.inputs),)
    )


@pytest.mark.parametrize(
    "spec", samples.one_of_each() + samples.stock_forms() + SPARSE, ids=OperatorSpec.label
)
def test_an_operator_computes_what_its_name_says(spec: OperatorSpec) -> None:
    graph = alone(spec)
    weights = random_weights(3)
    image = np.random.default_rng(0).standard_normal((1, *spec.in_shape)).astype(np.float32)
    session = onnxruntime.InferenceSession(
        build_model(graph, weights).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (output,) = session.run(["logits"], {"input": image})
    arrays = {name: a.astype(np.float64) for name, a in weights(graph.nodes[0]).items()}
    expected = reference.run(spec, [image[0].astype(np.float64)] * spec.inputs, arrays)
    assert output.shape == (1, *expected.shape)
    np.testing.assert_allclose(output[0], expected, rtol=1e-4, atol=1e-5)


def test_random_weights_have_the_pattern_and_depend_on_seed_and_name() -> None:
    spec = SPARSE[0]
    first, other = samples.node("a", spec, INPUT), samples.node("b", spec, INPUT)
    weight = random_weights(0)(first)["weight"]
    assert np.count_nonzero(weight) == round(0.1 * weight.size)
    assert (weight == random_weights(0)(first)["weight"]).all()
    assert (weight != random_weights(0)(other)["weight"]).any()
    assert (weight != random_weights(1)(first)["weight"]).any()


def test_activations_keep_their_size_through_a_deep_network() -> None:
    spec = samples.conv(16, 16, activation=samples.RELU, pattern="unstructured", density=0.2)
    names = [INPUT, *(f"n{index}" for index in range(30))]
    nodes = tuple(samples.node(name, spec, source) for source, name in pairwise(names))
    model = build_model(NetworkGraph(input_shape=spec.in_shape, nodes=nodes), random_weights(0))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    image = np.random.default_rng(0).standard_normal((1, *spec.in_shape)).astype(np.float32)
    (output,) = session.run(None, {"input": image})
    assert 1e-3 < float(np.abs(output).mean()) < 1e3


def test_weights_that_do_not_fit_are_refused() -> None:
    graph = alone(samples.conv(4, 4))
    good = random_weights(0)(graph.nodes[0])
    with pytest.raises(ValueError, match=r"'only' takes \['bias', 'weight'\], got \['weight'\]"):
        build_model(graph, lambda _: {"weight": good["weight"]})
    with pytest.raises(ValueError, match=r"weight of 'only' must have shape \(4, 4, 1, 1\)"):
        build_model(graph, lambda _: {**good, "weight": good["weight"][:2]})


def test_a_spatial_operator_cannot_read_a_flat_tensor() -> None:
    nodes = (
        samples.node("pooled", samples.plain(OperatorKind.GLOBAL_AVG_POOL, 8, 4), INPUT),
        samples.node("late", samples.conv(8, 8, 1), "pooled"),
    )
    with pytest.raises(ValueError, match=r"'late' \(conv\) cannot read a flat tensor"):
        build_model(NetworkGraph(input_shape=(8, 4, 4), nodes=nodes), random_weights(0))
