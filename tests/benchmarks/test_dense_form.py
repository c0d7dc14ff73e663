import numpy as np
import onnxruntime

from benchmarks.dense_form import split_reduces
from latency.graph import GraphNode
from latency.lowering.build import build_model
from latency.lowering.weights import Weights, random_weights
from search.space.builtin import resnet18_cifar
from search.space.dass_cells import MERGED_KERNEL, build_graph
from search.space.genotype import Genotype
from search.space.task import TaskShape

TASK = TaskShape(image_channels=3, image_size=16, classes=5)
SKIPS = tuple(("skip_connect", source) for _ in range(4) for source in (0, 1))


def as_trained(node: GraphNode) -> Weights:
    """Weights as the exporter has them: zero where a factorized reduce has no weight."""
    weights = random_weights(3)(node)
    if node.spec.kernel == MERGED_KERNEL:
        weight, half = weights["weight"], node.spec.out_channels // 2
        kept = np.zeros_like(weight)
        kept[:half, :, 0, 0] = weight[:half, :, 0, 0]
        kept[half:, :, 1, 1] = weight[half:, :, 1, 1]
        weights["weight"] = kept
    return weights


def test_split_reduces_compute_the_same() -> None:
    graph = build_graph(Genotype(normal=SKIPS, reduce=SKIPS, channels=6, cells=4), TASK)
    merged = build_model(graph, as_trained)
    split = split_reduces(merged)
    merges = sum(spec.kernel == MERGED_KERNEL for spec in graph.operators)
    assert merges > 0
    assert [node.op_type for node in split.graph.node].count("Slice") == merges
    image = np.random.default_rng(0).standard_normal((1, 3, 16, 16), dtype=np.float32)
    ours, theirs = (
        onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"input": image})[0]
        for model in (merged, split)
    )
    np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-4)


def test_other_networks_stay_as_they_are() -> None:
    model = build_model(resnet18_cifar(), random_weights(0))
    assert split_reduces(model).SerializeToString() == model.SerializeToString()
