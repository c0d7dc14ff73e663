"""A latency table whose rows follow a formula, for tests that need prices but no device."""

from dataclasses import replace
from functools import lru_cache

import numpy as np

from latency.estimate.estimator import LatencyEstimator
from latency.estimate.execution import executed_nodes
from latency.estimate.lookup_table import TableEstimator
from latency.graph import NetworkGraph
from latency.library_form import library_form, row_spec
from latency.operator import OperatorSpec, Regime, SparsityPattern
from latency.table import Calibration, LatencyTable, TableRow
from latency.target import DeviceFacts, Target
from search.finalize.densities import SPARSE_OPTIONS
from search.requests import SearchRequest
from search.space.dass_cells import build_graph
from search.space.genotype import Genotype
from search.space.planned_space import PlannedSpace
from search.space.sampling import random_genotype
from search.space.search_space import SearchSpace
from search.space.sparsity import Sparsity, sparse_spec
from search.space.task import TaskShape
from tests.search.space.exhaustive import space_operators

DIGITS = TaskShape(image_channels=1, image_size=16, classes=10)
SMALL = TaskShape(image_channels=1, image_size=8, classes=3)


def cost_ns(spec: OperatorSpec) -> float:
    """Return a cost that rises with work and traffic and is never zero."""
    return 300.0 + 0.05 * spec.macs + 0.2 * spec.traffic_elements


def planned_space(channels: int = 4, cells: int = 3) -> PlannedSpace:
    """Return cells for the task SMALL, to be sparse in blocks."""
    sparsity = Sparsity(pattern=SparsityPattern.BLOCK, density=0.2)
    return PlannedSpace(channels=channels, cells=cells, task=SMALL, sparsity=sparsity)


@lru_cache(maxsize=32)
def formula_table(channels: int, cells: int, task: TaskShape) -> LatencyTable:
    """Return a table with a row for every operator of the space."""
    rows = tuple(
        TableRow(
            spec=spec,
            median_ns=cost_ns(spec),
            spread_ns=5.0,
            samples=15,
            method="chain",
            measured_at="2026-01-01T00:00:00+00:00",
        )
        for spec in space_operators(channels, cells, task)
    )
    facts = DeviceFacts(machine="x86_64", processor="formula", cores=2)
    return LatencyTable(
        target=Target(facts=facts, runtime_version="1.23.0"),
        version=1,
        rows=rows,
        calibration=Calibration(slope=1.1, intercept_ns=4000.0, sigma=0.01, networks=6),
    )


@lru_cache(maxsize=32)
def other_table(channels: int, cells: int, task: TaskShape) -> LatencyTable:
    """Return the table of another device: faster, but slow where a window is large."""
    plain = formula_table(channels, cells, task)
    rows = tuple(
        replace(row, median_ns=row.median_ns * (0.2 + 0.02 * row.spec.kernel**2))
        for row in plain.rows
    )
    return replace(plain, rows=rows, target=replace(plain.target, runtime_version="1.24.0"))


@lru_cache(maxsize=32)
def sparse_table(space: SearchSpace, factor: float, *, missing: float = 0.0) -> LatencyTable:
    """Return a table of both regimes, with no two rows alike.

    Args:
        space: whose operators have rows.
        factor: how many times what a stock operator costs, a dense one of the library does.
        missing: fraction of the rows that the table does not have.
    """
    plain = formula_table(4, 3, SMALL)
    target = replace(plain.target, operator_library="1+test")
    rng = np.random.default_rng(0)
    rows = tuple(
        replace(
            plain.rows[0],
            spec=spec,
            median_ns=(factor * (0.1 + spec.density) if spec.regime is Regime.LIBRARY else 1.0)
            * cost_ns(spec)
            * rng.uniform(0.9, 1.1),
            spread_ns=rng.uniform(0.0, 60.0),
        )
        for spec in space.usage(target).points
        if rng.random() >= missing
    )
    library = Calibration(slope=1.05, intercept_ns=500.0, sigma=0.02, networks=6)
    return replace(plain, target=target, rows=rows, library=library, version=7)


def exact_table(graph: NetworkGraph, factor: float = 1.0) -> LatencyTable:
    """Return a table with a row, without any spread, for all that a network can be.

    Args:
        graph: the network, dense, in the stock regime.
        factor: how many times what a stock operator costs, a dense one of the library does.
    """
    base = formula_table(4, 3, SMALL)
    rng = np.random.default_rng(1)
    library = {
        row_spec(spec)
        for node in library_form(graph).nodes
        for spec in (node.spec, *(sparse_spec(node.spec, option) for option in SPARSE_OPTIONS))
    }
    specs = [*{node.spec for node in executed_nodes(graph)}, *library]
    specs.sort(key=lambda spec: spec.label())

    def price_ns(spec: OperatorSpec) -> float:
        singles = 1.6 if spec.pattern is SparsityPattern.UNSTRUCTURED else 1.0
        share = factor * singles * (0.15 + spec.density) if spec.regime is Regime.LIBRARY else 1.15
        return cost_ns(spec) * share * rng.uniform(0.9, 1.1)

    rows = tuple(
        replace(base.rows[0], spec=spec, median_ns=price_ns(spec), spread_ns=0.0) for spec in specs
    )
    target = replace(base.target, operator_library="1+test")
    calibration = replace(base.calibration, sigma=0.02)
    return replace(base, target=target, rows=rows, library=calibration)


def mixed_table(request: SearchRequest, task: TaskShape, factor: float) -> LatencyTable:
    """Return a table with rows of both patterns, single weights dearer than blocks.

    Args:
        request: whose space it is of.
        task: image and classes.
        factor: as for `sparse_table`.
    """
    blocks, singles = (
        sparse_table(replace(request, pattern=pattern).search_space(task), factor)
        for pattern in (SparsityPattern.BLOCK, SparsityPattern.UNSTRUCTURED)
    )
    dearer = (
        replace(row, median_ns=1.6 * row.median_ns)
        for row in singles.rows
        if row.spec.pattern is SparsityPattern.UNSTRUCTURED
    )
    return replace(blocks, rows=(*blocks.rows, *dearer))


def formula_estimator(channels: int, cells: int, task: TaskShape) -> TableEstimator:
    """Return the estimator of `formula_table`."""
    return TableEstimator(formula_table(channels, cells, task))


def some_genotype(seed: int, channels: int = 4, cells: int = 3) -> Genotype:
    """Return a random genotype that a seed repeats."""
    return random_genotype(np.random.default_rng(seed), channels, cells)


def latency_ms(estimator: LatencyEstimator, genotype: Genotype, task: TaskShape) -> float:
    """Return the predicted latency of a genotype."""
    return float(estimator.predict(build_graph(genotype, task)).latency_ms)
