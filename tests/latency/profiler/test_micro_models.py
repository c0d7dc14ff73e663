import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from latency.estimate.execution import conversion, executed_nodes
from latency.kernels import register
from latency.lowering.build import build_model
from latency.lowering.mixed import build_mixed
from latency.lowering.weights import random_weights
from latency.measurement import marginal_cost
from latency.operator import CONVERSIONS, OperatorKind, OperatorSpec, Regime
from latency.profiler.device import current_target
from latency.profiler.micro_models import IMAGE_CHANNELS, micro_models
from latency.profiler.operators import measure_operator
from latency.profiler.session import open_session, random_feed, session_options
from latency.profiler.timing import TimingSettings
from tests.latency import samples

RUNTIME_NAMES = {
    OperatorKind.CONV: {"Conv", "FusedConv"},
    OperatorKind.LINEAR: {"Gemm"},
    OperatorKind.RELU: {"Relu"},
    OperatorKind.MAX_POOL: {"MaxPool"},
    OperatorKind.AVG_POOL: {"AveragePool"},
    OperatorKind.GLOBAL_AVG_POOL: {"GlobalAveragePool"},
    OperatorKind.ADD: {"Add", "Sum"},
    OperatorKind.CONCAT: {"Concat"},
}
EXECUTED = re.compile(r"((?:source|operator)\d+)(?:_nchwc)?_kernel_time$")
COPIES = 3
STOCK = samples.one_of_each() + samples.stock_forms()
EVERY_ONE = STOCK + samples.library_operators()


@pytest.mark.parametrize("spec", EVERY_ONE, ids=OperatorSpec.label)
def test_the_models_differ_by_the_copies_and_nothing_else(spec: OperatorSpec) -> None:
    models = micro_models(spec, COPIES)
    long, short = list(models.long.operators), list(models.short.operators)
    assert long.count(spec) - short.count(spec) == COPIES == models.copies
    long_frame = sorted(other.key for other in long if other != spec)
    assert long_frame == sorted(other.key for other in short if other != spec)


@pytest.mark.parametrize("spec", EVERY_ONE, ids=OperatorSpec.label)
def test_what_an_operator_reads_is_computed_right_before_it(
    spec: OperatorSpec, tmp_path: Path
) -> None:
    options = session_options(samples.target())
    if spec.regime is Regime.LIBRARY and not register(options):
        pytest.skip("the operator library was not built")
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "run")
    model = build_model(micro_models(spec).long, random_weights(0)).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    session.run(None, random_feed(session))
    events = json.loads(Path(session.end_profiling()).read_text())
    order = [found[1] for event in events if (found := EXECUTED.match(event["name"]))]
    assert {f"operator{index}" for index in range(9)} <= set(order)
    has_sources = spec.kind is not OperatorKind.LINEAR and spec.in_channels > IMAGE_CHANNELS
    for index in range(9):
        assert (f"source{index}" in order) is has_sources
        if has_sources:
            between = order[order.index(f"source{index}") + 1 : order.index(f"operator{index}")]
            assert sum(name.startswith("operator") for name in between) <= 1


@pytest.mark.parametrize("spec", STOCK, ids=OperatorSpec.label)
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


@pytest.mark.parametrize("spec", samples.library_operators(), ids=OperatorSpec.label)
def test_models_for_the_library_run_wherever_it_is(spec: OperatorSpec) -> None:
    models = micro_models(spec, COPIES)
    for graph in (models.short, models.long):
        assert graph.regime is Regime.LIBRARY
        model = build_model(graph, random_weights(0)).SerializeToString()
        session = open_session(model, current_target(), micro_model=True)
        (output,) = session.run(None, random_feed(session))
        assert np.isfinite(output).all()


def test_each_copy_adds_a_tensor_of_its_own() -> None:
    spec = next(spec for spec in samples.library_operators() if spec.residual)
    nodes = [node for node in micro_models(spec, COPIES).long.nodes if node.spec == spec]
    assert len({node.inputs[-1] for node in nodes}) == COPIES + 1


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


@pytest.mark.parametrize("kind", CONVERSIONS)
def test_models_of_a_conversion_differ_by_the_tensors_that_are_converted(
    kind: OperatorKind, tmp_path: Path
) -> None:
    spec = conversion(kind, (16, 8, 8))
    models = micro_models(spec, COPIES)
    for graph, converted in ((models.short, 1), (models.long, COPIES + 1)):
        operators = [node.spec for node in executed_nodes(graph)]
        assert operators.count(spec) == converted
        large = [op for op in operators if op.kind in CONVERSIONS and op.height > 1]
        # What is made in int8 is made of the image, which is float32.
        extra = [conversion(OperatorKind.QUANTIZE, (16, 8, 8))]
        assert large == (extra if kind is OperatorKind.DEQUANTIZE else []) + [spec] * converted
        names = executed(build_mixed(graph, random_weights(0)).SerializeToString(), tmp_path)
        ours = Counter(op.kind for op in operators)
        assert names.count("QuantizeLinear") == ours[OperatorKind.QUANTIZE]
        assert names.count("DequantizeLinear") == ours[OperatorKind.DEQUANTIZE]


def test_a_conversion_is_measured() -> None:
    spec = conversion(OperatorKind.QUANTIZE, (16, 8, 8))
    measured = measure_operator(spec, current_target(), TimingSettings(rounds=3))
    assert measured.spec == spec
    assert measured.samples is not None
    assert marginal_cost(measured.samples).samples >= 3
