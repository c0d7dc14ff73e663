"""What the runner and its measuring child say to each other: one JSON line each way."""

from dataclasses import dataclass

from latency.graph import NetworkGraph
from latency.measurement import NO_RIVALS, Conditions, OperatorMeasurement, Rivals
from latency.operator import OperatorSpec
from latency.profiler.stability import PATIENCE
from latency.target import Target


@dataclass(frozen=True, kw_only=True)
class ChildRequest:
    """Measure one of: an operator, a graph with random weights, an ONNX file, else the machine.

    With none of them the answer has only times of the reference model.
    """

    target: Target
    rounds: int  # at least; an operator that is not settled gets more
    fastest_reference_ns: float | None = None  # of the reference model, as far as known
    patience: int = PATIENCE  # rounds that may be taken for each one that is kept
    operator: OperatorSpec | None = None
    graph: NetworkGraph | None = None
    model_path: str = ""
    rivals: Rivals = NO_RIVALS


@dataclass(frozen=True, kw_only=True)
class ChildAnswer:
    """The samples, or why there are none."""

    operator: OperatorMeasurement | None = None
    network_ns: tuple[int, ...] = ()
    reference_ns: tuple[int, ...] = ()  # the reference model in the rounds of a network, or alone
    dense_parent_ns: tuple[int, ...] = ()
    without_library_ns: tuple[int, ...] = ()
    conditions: Conditions | None = None  # right behind the timing of an operator
    error: str = ""

    @property
    def beside_ns(self) -> tuple[int, ...]:
        """Times of the reference model, whatever was measured beside it."""
        if self.operator is not None and self.operator.samples is not None:
            return self.operator.samples.reference_ns
        return self.reference_ns
