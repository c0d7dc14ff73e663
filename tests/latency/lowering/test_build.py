import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.graph import INPUT, GraphNode, NetworkGraph
from latency.lowering.build import build_model, sparse_is_smaller
from latency.lowering.weights import Weights, random_weights
from latency.operator import OperatorKind
from tests.latency import samples


def outputs_of(model: onnx.ModelProto, shape: tuple[int, ...]) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    image = np.random.default_rng(5).standard_normal((1, *shape)).astype(np.float32)
    result = session.run(["logits"], {"input": image})[0]
    assert isinstance(result, np.ndarray)
    return result


def pruned_weights(density: float) -> object:
    dense = random_weights(0)

    def weights(node: GraphNode) -> Weights:
        arrays = dense(node)
        rng = np.random.default_rng(1)
        return {
            name: array * (rng.random(array.shape) < density) if name == "weight" else array
            for name, array in arrays.items()
        }

    return weights


def test_a_network_is_valid_onnx_with_the_promised_signature_and_metadata() -> None:
    graph = samples.small_network()
    model = build_model(graph, random_weights(0), {"genotype": "{}", "seed": "3"})
    onnx.checker.check_model(model, full_check=True)
    assert {entry.key: entry.value for entry in model.metadata_props} == {
        "genotype": "{}",
        "seed": "3",
    }
    session = onnxruntime.InferenceSession(model.SerializeToString())
    assert [(i.name, i.shape) for i in session.get_inputs()] == [("input", [1, 3, 8, 8])]
    assert [(o.name, o.shape) for o in session.get_outputs()] == [("logits", [1, 10])]


def test_the_same_graph_and_weights_give_the_same_bytes() -> None:
    models = [build_model(samples.small_network(), random_weights(4)) for _ in range(2)]
    assert models[0].SerializeToString() == models[1].SerializeToString()


@settings(max_examples=8, deadline=None)
@given(st.sampled_from([0.0, 0.02, 0.1, 0.3, 0.5, 1.0]))
def test_sparse_initializers_are_smaller_valid_and_compute_the_same(density: float) -> None:
    graph = samples.small_network()
    weights = pruned_weights(density)
    dense = build_model(graph, weights)  # type: ignore[arg-type]
    sparse = build_model(graph, weights, sparse_initializers=True)  # type: ignore[arg-type]
    onnx.checker.check_model(sparse)
    assert sparse.ByteSize() <= dense.ByteSize()
    assert (len(sparse.graph.sparse_initializer) > 0) == (0.0 < density <= 0.3)
    np.testing.assert_array_equal(outputs_of(sparse, (3, 8, 8)), outputs_of(dense, (3, 8, 8)))


def test_indices_of_a_sparse_initializer_are_flat() -> None:
    graph = samples.small_network()
    model = build_model(graph, pruned_weights(0.1), sparse_initializers=True)  # type: ignore[arg-type]
    for tensor in model.graph.sparse_initializer:
        assert len(tensor.indices.dims) == 1
        assert tensor.indices.dims[0] == tensor.values.dims[0]


@pytest.mark.parametrize(("nonzeros", "smaller"), [(0, False), (1, True), (33, True), (34, False)])
def test_sparse_pays_above_two_thirds_of_zeros(*, nonzeros: int, smaller: bool) -> None:
    array = np.zeros(100, dtype=np.float32)
    array[:nonzeros] = 1.0
    assert sparse_is_smaller(array) is smaller


def test_weights_that_are_not_finite_are_refused() -> None:
    def weights(node: GraphNode) -> Weights:
        arrays = random_weights(0)(node)
        if node.name == "left.point":
            arrays["bias"][0] = np.inf
        return arrays

    with pytest.raises(ValueError, match=r"'left.point.bias' has values that are not finite"):
        build_model(samples.small_network(), weights)


def test_a_name_that_collides_with_an_initializer_is_refused() -> None:
    nodes = (
        samples.node("a", samples.conv(4, 4), INPUT),
        samples.node("a.weight", samples.plain(OperatorKind.RELU, 4), "a"),
        samples.node("end", samples.plain(OperatorKind.RELU, 4), "a.weight"),
    )
    with pytest.raises(ValueError, match=r"two tensors would be called 'a.weight'"):
        build_model(NetworkGraph(input_shape=(4, 8, 8), nodes=nodes), random_weights(0))


def test_flat_and_spatial_inputs_do_not_mix() -> None:
    nodes = (
        samples.node("pooled", samples.plain(OperatorKind.GLOBAL_AVG_POOL, 4, 1), INPUT),
        samples.node("sum", samples.plain(OperatorKind.ADD, 4, 1, inputs=2), "pooled", INPUT),
    )
    with pytest.raises(ValueError, match="'sum' mixes flat and spatial inputs"):
        build_model(NetworkGraph(input_shape=(4, 1, 1), nodes=nodes), random_weights(0))


def test_a_linear_layer_may_read_a_one_pixel_image() -> None:
    nodes = (samples.node("only", samples.linear(4, 3), INPUT),)
    model = build_model(NetworkGraph(input_shape=(4, 1, 1), nodes=nodes), random_weights(0))
    assert outputs_of(model, (4, 1, 1)).shape == (1, 3)
