from pathlib import Path

import onnx
import onnxruntime
import pytest

from latency.lowering.build import build_model
from latency.lowering.weights import random_weights
from latency.operator import OperatorKind, OperatorSpec
from latency.profiler.micro_models import micro_models
from latency.profiler.session import open_session, session_options
from tests.latency import samples

RUNTIME_NAMES = {
    OperatorKind.CONV: {"Conv"},
    OperatorKind.LINEAR: {"Gemm"},
    OperatorKind.RELU: {"Relu"},
    OperatorKind.MAX_POOL: {"MaxPool"},
    OperatorKind.AVG_POOL: {"AveragePool"},
    OperatorKind.GLOBAL_AVG_POOL: {"GlobalAveragePool"},
    OperatorKind.ADD: {"Add", "Sum"},
    OperatorKind.CONCAT: {"Concat"},
}
COPIES = 3


@pytest.mark.parametrize("spec", samples.one_of_each(), ids=OperatorSpec.label)
def test_the_models_differ_by_the_copies_and_nothing_else(spec: OperatorSpec) -> None:
    models = micro_models(spec, COPIES)
    long, short = list(models.long.operators), list(models.short.operators)
    assert long.count(spec) - short.count(spec) == COPIES == models.copies
    long_frame = sorted(other.key for other in long if other != spec)
    assert long_frame == sorted(other.key for other in short if other != spec)


@pytest.mark.parametrize("spec", samples.one_of_each(), ids=OperatorSpec.label)
def test_the_runtime_neither_merges_nor_drops_a_copy(spec: OperatorSpec, tmp_path: Path) -> None:
    models = micro_models(spec, COPIES)
    short, long = (
        executed(build_model(graph, random_weights(0)).SerializeToString(), tmp_path)
        for graph in (models.short, models.long)
    )
    names = RUNTIME_NAMES[spec.kind]
    assert sum(name in names for name in long) - sum(name in names for name in short) == COPIES


def executed(model: bytes, folder: Path) -> list[str]:
    options = session_options(samples.target())
    options.log_severity_level = 4
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    onnxruntime.InferenceSession(
        model,
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=["CommonSubexpressionElimination"],
    )
    graph = onnx.load(options.optimized_model_filepath).graph
    return [node.op_type for node in graph.node]


def test_copies_have_weights_of_their_own() -> None:
    model = build_model(micro_models(samples.conv(16, 16), COPIES).long, random_weights(0))
    weights = [t.raw_data for t in model.graph.initializer if t.name.startswith("operator")]
    assert len(set(weights)) == len(weights) == 2 * (COPIES + 1)


def test_an_image_operator_reads_the_input_itself() -> None:
    stem = samples.conv(3, 16, 12, kernel=3, padding=1)
    nodes = micro_models(stem, COPIES).long.nodes
    assert all(node.inputs == ("input",) for node in nodes if node.spec == stem)


def test_an_unknown_provider_is_named() -> None:
    target = samples.target()
    object.__setattr__(target, "execution_provider", "NoSuchProvider")
    with pytest.raises(ValueError, match="no provider 'NoSuchProvider'; this runtime has"):
        open_session(b"", target)
