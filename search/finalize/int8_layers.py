"""Which operators of a dense stock network become int8, so that it meets a budget.

Each operator has its row in float32 and, where it was measured, one in int8. Between both dtypes
tensors are converted, which is priced by rows of its own; so what int8 costs depends on the
neighbours. The operators are walked as the runtime executes them (`latency.estimate.execution`),
and a state is what there is of every tensor that is still to be read: in which dtypes, and what can be
merged into its maker. `search.finalize.knapsack` takes the least distorting way that fits.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from latency.estimate.estimator import Prediction, PriceSource
from latency.estimate.execution import (
    IMAGE,
    Held,
    conversion,
    execute,
    may_be_int8,
    possible_dtypes,
)
from latency.estimate.lookup_table import TableEstimator
from latency.graph import INPUT, GraphNode, NetworkGraph
from latency.library_form import without_duplicates
from latency.operator import CONVERSIONS, OperatorKind, OperatorSpec
from search.finalize.knapsack import Option, Plan
from search.finalize.repair import BudgetInfeasibleError
from search.finalize.roomiest import roomiest_plan

_MAX_STATES = 32  # residual networks have up to 8; the work grows with the square
_KNOWN = (PriceSource.MEASURED, PriceSource.TRANSFERRED, PriceSource.INTERPOLATED)

State = tuple[tuple[str, Held], ...]  # of the tensors that are still to be read, by name


class UnmeasuredError(ValueError):
    """The table has no rows that would price any layer of a network in int8.

    Args:
        operators: that have to be measured.
        plan: file that asks a device for them; empty where none was written.
    """

    code = "int8-unmeasured"

    def __init__(self, operators: Sequence[OperatorSpec], plan: str = "") -> None:
        self.operators = tuple(operators)
        listed = "; ".join(spec.label() for spec in self.operators)
        by = f" by `edgewright-agent measure` with the plan {plan}" if plan else ""
        super().__init__(
            f"int8: the table prices no layer of this network in int8; {len(self.operators)} "
            f"operators have to be measured for that{by}: {listed}"
        )


@dataclass(frozen=True, kw_only=True)
class AllocatedInt8:
    """A network some of whose operators are int8."""

    graph: NetworkGraph  # in the stock regime
    prediction: Prediction
    distortion: float  # of all layers together
    lower_bound: float  # no choice of the same cost distorts less


def allocate_int8(
    graph: NetworkGraph,
    estimator: TableEstimator,
    distortions: Mapping[str, float],
    budget_ms: float,
) -> AllocatedInt8:
    """Return the least distorting choice whose predicted interval ends within the budget.

    Args:
        graph: the network in the stock regime, its layers dense; sparse ones stay float32.
        estimator: of the target. What has no row in int8, its own or those of channels around its
            own, stays float32, and no tensor is converted whose conversion has none.
        distortions: what each layer loses in int8, by the name of its node.
        budget_ms: what the upper end of the predicted interval may be.

    Raises:
        BudgetInfeasibleError: no choice is within the budget.
        UnmeasuredError: no layer can be priced in int8; the message says what to measure.
        ValueError: a layer has no distortion, or too many tensors wait to be read at one place.
    """
    layers = [node.name for node in graph.nodes if node.parameters and may_be_int8(node.spec)]
    if missing := [name for name in layers if name not in distortions]:
        raise ValueError(f"int8: there is no distortion of {missing}, only of {list(distortions)}")
    walk = _Walk(graph, estimator, distortions)
    if not any(option.int8 and option.node.parameters for group in walk.groups for option in group):
        raise UnmeasuredError([s for s in int8_operators(graph) if not _is_known(estimator, s)])
    tried: list[AllocatedInt8] = []

    def accept(plan: Plan) -> AllocatedInt8 | None:
        picked = [group[index] for group, index in zip(walk.groups, plan.chosen, strict=True)]
        chosen = graph.with_int8([option.node.name for option in picked if option.int8])
        tried.append(
            AllocatedInt8(
                graph=chosen,
                prediction=estimator.predict_form(chosen),
                distortion=plan.distortion,
                lower_bound=plan.lower_bound,
            )
        )
        return tried[-1] if tried[-1].prediction.high_ms <= budget_ms else None

    found = roomiest_plan([[one.option for one in group] for group in walk.groups], accept)
    if found is None:
        smallest_ms = min(candidate.prediction.high_ms for candidate in tried)
        raise BudgetInfeasibleError(budget_ms, smallest_ms, what="no choice of int8 layers")
    return found


def int8_operators(graph: NetworkGraph) -> tuple[OperatorSpec, ...]:
    """Return what has to be measured so that every layer of a network can be int8, each once.

    Those are the operators in int8, and the conversions of the tensors between them.
    """
    nodes = [node for node in without_duplicates(graph) if may_be_int8(node.spec)]
    specs: dict[OperatorSpec, None] = {}
    for node in nodes:
        if node.spec.kind is not OperatorKind.RELU:
            specs[_in_int8(node).spec] = None
        specs[conversion(OperatorKind.QUANTIZE, node.spec.in_shape)] = None
        specs[conversion(OperatorKind.DEQUANTIZE, node.spec.out_shape)] = None
    return tuple(specs)


@dataclass(frozen=True, kw_only=True)
class _Way:
    """One dtype of an operator in one state."""

    node: GraphNode
    option: Option

    @property
    def int8(self) -> bool:
        return self.node.spec.dtype == "int8"


class _Walk:
    """The options of each operator of a network, in the order in which they are executed."""

    def __init__(
        self, graph: NetworkGraph, estimator: TableEstimator, distortions: Mapping[str, float]
    ) -> None:
        self._estimator, self._distortions = estimator, distortions
        self._nodes = without_duplicates(graph)
        self._readers = Counter(name for node in self._nodes for name in node.inputs)
        uses = ((name, i) for i, node in enumerate(self._nodes) for name in node.inputs)
        self._last_use = dict(uses)  # the last of each name stays
        self.groups: list[list[_Way]] = []
        states: dict[State, int] = {((INPUT, IMAGE),): 0}
        for index, node in enumerate(self._nodes):
            following: dict[State, int] = {}
            group = [
                way
                for state, number in states.items()
                for way in self._ways(index, node, state, number, following)
            ]
            self.groups.append(group)
            states = following
            if len(states) > _MAX_STATES:
                raise ValueError(
                    f"int8: at {node.name!r} the tensors that are still to be read can be there in "
                    f"{len(states)} ways; at most {_MAX_STATES} are followed"
                )

    def _ways(
        self,
        index: int,
        node: GraphNode,
        state: State,
        number: int,
        following: dict[State, int],
    ) -> Iterator[_Way]:
        possible = may_be_int8(node.spec)
        for dtype in possible_dtypes(node, dict(state)) if possible else ("float32",):
            chosen = node if dtype == "float32" else _in_int8(node)
            held = dict(state)
            executed = [one.spec for one in execute(chosen, held, self._readers[node.name])]
            if not all(_is_known(self._estimator, spec) for spec in executed):
                continue
            left = tuple(
                (name, held[name]) for name in held if self._last_use.get(name, -1) > index
            )
            yield _Way(
                node=chosen,
                option=Option(
                    cost=float(round(sum(self._estimator.price(spec).ns for spec in executed))),
                    distortion=0.0 if chosen is node else self._distortions.get(node.name, 0.0),
                    before=number,
                    after=following.setdefault(left, len(following)),
                ),
            )


def _is_known(estimator: TableEstimator, spec: OperatorSpec) -> bool:
    """Return whether the price of what int8 brings along rests on rows; float32 always has one."""
    brought = spec.dtype == "int8" or spec.kind in CONVERSIONS
    return not brought or estimator.price(spec).source in _KNOWN


def _in_int8(node: GraphNode) -> GraphNode:
    return replace(node, spec=replace(node.spec, dtype="int8"))
