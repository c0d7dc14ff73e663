"""How well a table predicts networks that are partly int8: `python -m benchmarks.mixed_int8`.

The operators of one network are measured, in float32 and in int8, with the conversions between both.
Then come files of it: float32, int8 throughout, and partly int8, as a plan chooses for several
budgets and as drawn at random in runs of neighbours. All of them are timed in turns beside the
reference model; as the table has no calibration, its sums are scaled by what the float32 network
needs. The table is written, and a later run with --table measures only what it lacks: with
`--rows-only` that is what the axis `int8` of a compression asks for.
"""

import argparse
import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.recorded import measured_rows
from latency.estimate.execution import executed_nodes, may_be_int8, with_possible_int8
from latency.estimate.lookup_table import TableEstimator
from latency.exchange.table_file import TableFile, read_table, write_table
from latency.files import write_atomic
from latency.graph import NetworkGraph
from latency.host_lock import measuring
from latency.lowering.mixed import build_mixed
from latency.lowering.weights import random_weights
from latency.profiler.device import current_target
from latency.profiler.reference import reference_model
from latency.profiler.session import open_session, runner
from latency.profiler.timing import TimingSettings, time_in_turns
from latency.table import LatencyTable
from latency.target import STOCK_LIBRARY, Target
from latency.units import NS_PER_MS, ns_to_ms
from search.finalize.int8_layers import allocate_int8, int8_operators
from search.finalize.repair import BudgetInfeasibleError
from search.space.networks import network_graph
from search.space.rivals import PARENTS
from search.space.task import CIFAR10

OUTPUT = Path("local") / "mixed-int8"
BUDGETS = (0.9, 0.8, 0.7, 0.6)  # of the way from the fastest choice to float32
SHARES = (0.25, 0.5, 0.75)  # of the operators that can be int8, drawn
ROUNDS = 9


@dataclass(frozen=True, kw_only=True)
class Form:
    """A file of the network: what the table says of it, and what it takes."""

    label: str
    int8: int  # operators
    predicted_ms: float  # sum of the rows
    measured_ms: float

    def error(self, scale: float) -> float:
        """Return how much the scaled prediction is off, relative."""
        return scale * self.predicted_ms / self.measured_ms - 1.0


def main() -> None:
    """Measure rows and files, print and write both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=list(PARENTS), default="resnet-20")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--table", type=Path, help="a table of this machine to go on from")
    parser.add_argument("--rows-only", action="store_true", help="measure no files")
    options = parser.parse_args()
    target = replace(current_target(), operator_library=STOCK_LIBRARY)
    graph = network_graph(PARENTS[options.network](options.width), CIFAR10)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    table = _table(graph, target, options.table)
    name = f"{options.network}-{options.width:g}"
    write_table(OUTPUT / f"{name}-table.json", TableFile(table=table))
    if not options.rows_only:
        forms = _timed(dict(_graphs(graph, TableEstimator(table))), TableEstimator(table), target)
        _print(name, target, forms)
        text = json.dumps([asdict(form) for form in forms], indent=1)
        write_atomic(OUTPUT / f"{name}.json", text.encode())


def _table(graph: NetworkGraph, target: Target, path: Path | None) -> LatencyTable:
    """Return the table with a row for all that the network can be in float32 and int8."""
    empty = LatencyTable(target=target, version=1, rows=())
    known = empty if path is None else read_table(path).table
    have = {row.spec for row in known.rows}
    wanted = dict.fromkeys([*(n.spec for n in executed_nodes(graph)), *int8_operators(graph)])
    missing = [spec for spec in wanted if spec not in have]
    print(f"{len(missing)} of {len(wanted)} operators to measure", flush=True)
    return replace(known, rows=(*known.rows, *measured_rows(missing, target)))


def _graphs(graph: NetworkGraph, estimator: TableEstimator) -> Iterator[tuple[str, NetworkGraph]]:
    """Yield the forms that are compared, by label."""
    rng = np.random.default_rng(0)
    lost = {node.name: float(rng.uniform(0.5, 1.5)) for node in graph.nodes if node.parameters}
    yield "float32", graph
    float_ms = estimator.predict_form(graph).high_ms
    fastest_ms = _fastest_ms(graph, estimator, lost)
    yield "fastest", allocate_int8(graph, estimator, lost, fastest_ms).graph
    for share in BUDGETS:
        budget_ms = fastest_ms + share * (float_ms - fastest_ms)
        yield f"plan {share:.0%}", allocate_int8(graph, estimator, lost, budget_ms).graph
    names = [node.name for node in graph.nodes if may_be_int8(node.spec)]
    for share in SHARES:
        length = round(share * len(names))
        start = int(rng.integers(0, len(names) - length + 1))
        yield f"run of {share:.0%}", with_possible_int8(graph, names[start : start + length])
        drawn = rng.permutation(names)[:length].tolist()
        yield f"drawn {share:.0%}", with_possible_int8(graph, drawn)


def _fastest_ms(graph: NetworkGraph, estimator: TableEstimator, lost: dict[str, float]) -> float:
    """Return the least budget that a choice meets."""
    try:
        allocate_int8(graph, estimator, lost, 0.0)
    except BudgetInfeasibleError as error:
        return error.smallest_feasible_ms
    raise ValueError("a network that takes no time cannot be planned")


def _timed(
    graphs: dict[str, NetworkGraph], estimator: TableEstimator, target: Target
) -> list[Form]:
    models = [
        build_mixed(graph, random_weights(0)).SerializeToString() for graph in graphs.values()
    ]
    runs = [runner(open_session(model, target)) for model in models]
    reference = runner(open_session(reference_model(), target))
    settings = TimingSettings(rounds=ROUNDS, sample_ns=20 * NS_PER_MS, budget_ns=10**11)
    with measuring():
        timed, _ = time_in_turns(runs, reference, settings)
    return [
        Form(
            label=label,
            int8=len(graph.int8_names),
            predicted_ms=estimator.predict_form(graph).latency_ms,
            measured_ms=ns_to_ms(statistics.median(one.samples_ns)),
        )
        for (label, graph), one in zip(graphs.items(), timed, strict=True)
    ]


def _print(name: str, target: Target, forms: Sequence[Form]) -> None:
    print(f"\n{name} on {target.label()}")
    print(f"{'form':12}{'int8':>6}{'rows ms':>9}{'ms':>8}{'speed':>7}{'error':>8}")
    scale = forms[0].measured_ms / forms[0].predicted_ms
    for form in forms:
        print(
            f"{form.label:12}{form.int8:>6}{form.predicted_ms:>9.3f}{form.measured_ms:>8.3f}"
            f"{forms[0].measured_ms / form.measured_ms:>7.2f}{form.error(scale):>8.1%}"
        )
    errors = [abs(form.error(scale)) for form in forms[1:]]
    print(f"mean error {statistics.mean(errors):.1%}, worst {max(errors):.1%}")


if __name__ == "__main__":
    main()
