"""What the runner and its measuring child say to each other: one JSON line each way."""

from dataclasses import dataclass

from latency.graph import NetworkGraph
from latency.measurement import NO_RIVALS, OperatorMeasurement, Rivals
from latency.operator import OperatorSpec
from latency.target import Target


@dataclass(frozen=True, kw_only=True)
class ChildRequest:
    """Measure one of: an operator, a graph with random weights, an ONNX file, else the machine.

    With none of them the answer has only times of the reference model.
    """

    target: Target
    rounds: int
    fastest_reference_ns: float | None = None  # of the reference model, as far as known
    operator: OperatorSpec | None = None
    graph: NetworkGraph | None = None
    model_path: str = ""
    rivals: Rivals = NO_RIVALS


@dataclass(frozen=True, kw_only=True)
class ChildAnswer:
    """The samples, or why there are none."""

    operator: OperatorMeasurement | None = None
    network_ns: tuple[int, ...] = ()
    reference_ns: tuple[int, ...] = ()  # the reference model in the same rounds
    dense_parent_ns: tuple[int, ...] = ()
    without_library_ns: tuple[int, ...] = ()
    error: str = ""
