"""How many genotypes a second a table predicts, many at a time and graph by graph.

`make bench-predictions`. Both ways predict the same genotypes in turns, in one process, in both
regimes with intervals. `no layers` are genotypes without a choice of sparsity, those of cells with
random middle widths; with `all layers` every full layer has a density of its own. What rows say does not change the speed,
so unless a table is given their costs follow from work and traffic; nothing here is measured on
them. The first batch also looks every price up for the first time.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks.bars import PREDICTIONS_PER_SECOND, Verdict, print_verdicts
from latency.estimate.estimator import Prediction
from latency.estimate.lookup_table import TableEstimator
from latency.exchange.table_file import read_table
from latency.graph import INPUT, NetworkGraph
from latency.operator import SparsityPattern
from latency.profiler.device import current_target
from latency.table import Calibration, LatencyTable, TableRow
from search.space.batch import BatchPrediction, BatchPredictor
from search.space.genotype import LayerChoice
from search.space.planned_space import PlannedSpace
from search.space.sampling import random_genotype
from search.space.search_space import SearchSpace
from search.space.sparsity import Sparsity
from search.space.stage_space import StageSpace
from search.space.task import CIFAR10

OUTPUT = Path("local") / "predictions.json"
PATTERN = SparsityPattern.BLOCK
_TOLERANCE = 1e-9

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Contest:
    """Both ways to predict the genotypes of one space."""

    name: str
    genotypes: list[Any]
    predictor: BatchPredictor[Any]
    estimator: TableEstimator


@dataclass(frozen=True, kw_only=True)
class Speeds:
    """Predictions a second, median over the rounds."""

    name: str
    first: float  # of the first batch
    batch: float
    slowest: float
    graphs: float


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument(
        "--graphs", type=int, default=32, help="of them predicted from their graphs"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cells", type=int, nargs="+", default=[5])
    parser.add_argument("--table", type=Path, help="file of a table that was measured")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    label = current_target(1).label()
    print(f"{label}\n\n{'space':36}{'first':>9}{'batch':>9}{'slowest':>9}{'graphs':>9}  a second")
    measured = None if options.table is None else read_table(options.table).table
    speeds = []
    for contest in _contests(options.batch, options.cells, measured):
        speeds.append(_measure(contest, options.rounds, options.graphs))
        s = speeds[-1]
        print(f"{s.name:36}{s.first:9.0f}{s.batch:9.0f}{s.slowest:9.0f}{s.graphs:9.0f}")
    verdicts = [
        Verdict(what=f"{s.name}, a second", figure=s.batch, bar=PREDICTIONS_PER_SECOND)
        for s in speeds
    ]
    print_verdicts(verdicts)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "target": label,
        "speeds": [asdict(s) for s in speeds],
        "bars": [{**asdict(verdict), "verdict": verdict.word} for verdict in verdicts],
    }
    options.output.write_text(json.dumps(document, indent=1))


def _contests(
    batch: int, depths: Sequence[int], measured: LatencyTable | None
) -> Iterator[Contest]:
    """Yield each space with dense and with sparse genotypes."""
    rng = np.random.default_rng(0)
    stages = StageSpace(width=16, task=CIFAR10, pattern=PATTERN)
    drawn: list[Any] = [stages.random_genotype(rng) for _ in range(batch)]
    table = measured or _table(stages)
    yield from _dense_and_sparse(stages.name, drawn, stages.predictor(table), table)
    planned = Sparsity(pattern=PATTERN, density=0.2)
    for cells in depths:
        space = PlannedSpace(channels=16, cells=cells, task=CIFAR10, sparsity=planned)
        drawn = [random_genotype(rng, space.channels, cells) for _ in range(batch)]
        table = measured or _table(space)
        name = f"{space.name}, {cells} cells"
        yield from _dense_and_sparse(name, drawn, space.predictor(table), table)


def _dense_and_sparse(
    name: str, drawn: list[Any], predictor: BatchPredictor[Any], table: LatencyTable
) -> Iterator[Contest]:
    rng = np.random.default_rng(1)
    sparse = [_with_layers(genotype, predictor.graph(genotype), rng) for genotype in drawn]
    for kind, genotypes in (("no layers", drawn), ("all layers", sparse)):
        yield Contest(
            name=f"{name}, {kind}",
            genotypes=genotypes,
            predictor=predictor,
            estimator=TableEstimator(table),
        )


def _with_layers(genotype: Any, graph: NetworkGraph, rng: np.random.Generator) -> Any:
    """Return the genotype with a density for every full layer but the stem."""
    full = [
        node.parameters
        for node in graph.nodes
        if node.parameters and node.spec.groups == 1 and INPUT not in node.inputs
    ]
    densities = np.exp(rng.uniform(np.log(0.02), 0.0, len(full))).tolist()
    chosen = tuple(
        LayerChoice(layer=layer, pattern=PATTERN, density=density)
        for layer, density in zip(full, densities, strict=True)
    )
    return genotype.with_layers(genotype.layers + chosen)


def _measure(contest: Contest, rounds: int, graphs: int) -> Speeds:
    """Return the speeds of both ways, after both have agreed."""
    few = contest.genotypes[:graphs]
    first, found = _timed(lambda: contest.predictor.predict(contest.genotypes))
    _, wanted = _timed(lambda: _by_graphs(contest, few))
    _check(found, wanted)
    batch, alone = [], []
    for _ in range(rounds):
        batch.append(_timed(lambda: contest.predictor.predict(contest.genotypes))[0])
        alone.append(_timed(lambda: _by_graphs(contest, few))[0])
    count = len(contest.genotypes)
    return Speeds(
        name=contest.name,
        first=count / first,
        batch=count / statistics.median(batch),
        slowest=count / max(batch),
        graphs=len(few) / statistics.median(alone),
    )


def _timed(call: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


def _by_graphs(contest: Contest, genotypes: Sequence[Any]) -> list[Prediction]:
    graphs = (contest.predictor.graph(genotype) for genotype in genotypes)
    return [contest.estimator.predict(graph) for graph in graphs]


def _check(found: BatchPrediction, wanted: Sequence[Prediction]) -> None:
    for index, prediction in enumerate(wanted):
        one = found.prediction(index)
        pairs = ((one.latency_ms, prediction.latency_ms), (one.high_ms, prediction.high_ms))
        if any(abs(a / b - 1.0) > _TOLERANCE for a, b in pairs):
            raise SystemExit(f"the two ways disagree: {one} and {prediction}")


def _table(space: SearchSpace) -> LatencyTable:
    """Return a table with every row of the space in both regimes; see the head of this file."""
    target = replace(current_target(1), operator_library="any")
    rows = tuple(
        TableRow(
            spec=spec,
            median_ns=200.0 + 0.02 * spec.executed_macs + 0.1 * spec.traffic_elements,
            spread_ns=20.0,
            samples=0,
            method="formula",
            measured_at="",
        )
        for spec in space.usage(target).points
    )
    line = Calibration(slope=1.0, intercept_ns=0.0, sigma=0.02, networks=6)
    return LatencyTable(target=target, version=1, rows=rows, calibration=line, library=line)


if __name__ == "__main__":
    main()
