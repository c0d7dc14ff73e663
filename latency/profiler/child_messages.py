"""What the runner and its measuring child say to each other: one JSON line each way."""

from dataclasses import dataclass

from latency.graph import NetworkGraph
from latency.measurement import OperatorMeasurement
from latency.operator import OperatorSpec
from latency.target import Target


@dataclass(frozen=True, kw_only=True)
class ChildRequest:
    """Measure exactly one of: an operator, a graph with random weights, an ONNX file."""

    target: Target
    rounds: int
    operator: OperatorSpec | None = None
    graph: NetworkGraph | None = None
    model_path: str = ""


@dataclass(frozen=True, kw_only=True)
class ChildAnswer:
    """The samples, or why there are none."""

    operator: OperatorMeasurement | None = None
    network_ns: tuple[int, ...] = ()
    reference_ns: tuple[int, ...] = ()
    error: str = ""
