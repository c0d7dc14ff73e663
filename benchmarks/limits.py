"""What holds an operator back: arithmetic or memory?

Two limits of this machine, one thread, taken in the same process as the operators: the fastest
matrix product of ONNX Runtime, close to the peak of multiply-adds, and a copy of as many bytes as
the operator moves at least. An operator near the first is bound by arithmetic, near the second by
memory; one that is far from both pays for what lies between: loads from the second cache, stores
across cache lines, the ends of loops.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from benchmarks.marginal import Ratio, Shape
from latency.lowering.build import IR_VERSION, OPSET
from latency.profiler.session import random_feed, session_options
from latency.target import Target

_SIDE = 384  # of the matrices: they fit the second cache, and the product takes a millisecond
_TRIES = 40
_BYTES = 4  # of an element
_NS_PER_US = 1000


@dataclass(frozen=True, kw_only=True)
class Use:
    """How much of the machine's limits one operator uses, 1 being all of it."""

    shape: str
    pattern: str
    sparsity: float
    gflops: float  # of the weights that are kept
    of_peak: float
    of_copy: float


def uses(shapes: Sequence[Shape], table: Sequence[Sequence[Ratio]], target: Target) -> list[Use]:
    """Return the use of each operator of a table whose rows are the shapes."""
    peak = _matrix_product_gflops(target)
    return [
        _use(shape, ratio, peak) for shape, row in zip(shapes, table, strict=True) for ratio in row
    ]


def print_uses(found: Sequence[Use]) -> None:
    """Print a line per operator."""
    print(
        f"\n{'what limits':16}{'pattern':>14}{'zeros':>7}{'GFLOP/s':>9}{'of peak':>9}{'of copy':>9}"
    )
    for use in found:
        print(
            f"{use.shape:16}{use.pattern:>14}{use.sparsity:7.0%}{use.gflops:9.1f}"
            f"{use.of_peak:9.0%}{use.of_copy:9.0%}"
        )


def _use(shape: Shape, ratio: Ratio, peak: float) -> Use:
    gflops = 2e-3 * (1.0 - ratio.sparsity) * sum(layer.macs for layer in shape.layers)
    gflops /= ratio.sparse_us
    moved = sum(
        layer.traffic_elements - ratio.sparsity * layer.num_weights for layer in shape.layers
    )
    return Use(
        shape=ratio.shape,
        pattern=ratio.pattern,
        sparsity=ratio.sparsity,
        gflops=gflops,
        of_peak=gflops / peak,
        of_copy=_copy_us(round(moved * _BYTES)) / ratio.sparse_us,
    )


def _fastest_us(run: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(_TRIES):
        start = time.perf_counter_ns()
        run()
        best = min(best, time.perf_counter_ns() - start)
    return best / _NS_PER_US


def _matrix_product_gflops(target: Target) -> float:
    float32, shape = onnx.TensorProto.FLOAT, [_SIDE, _SIDE]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["c"])],
        "product",
        [helper.make_tensor_value_info(name, float32, shape) for name in ("a", "b")],
        [helper.make_tensor_value_info("c", float32, shape)],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), session_options(target), providers=["CPUExecutionProvider"]
    )
    feed = random_feed(session)
    return 2e-3 * _SIDE**3 / _fastest_us(lambda: session.run(None, feed))


def _copy_us(moved_bytes: int) -> float:
    """Return the time in which a copy reads and writes as many bytes in all."""
    source = np.ones(max(1, moved_bytes // 2), dtype=np.uint8)
    target = np.zeros_like(source)
    return _fastest_us(lambda: np.copyto(target, source))
