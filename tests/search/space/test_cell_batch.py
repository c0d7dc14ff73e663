"""Predictions of many cells at once are those of their graphs, one by one."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.estimate.lookup_table import TableEstimator
from latency.estimate.price_book import PriceBook
from latency.operator import SparsityPattern
from latency.table import LatencyTable
from search.space.batch import BatchPredictor
from search.space.cell_batch import CellEncoder
from search.space.cell_variants import CellSize
from search.space.dass_cells import build_graph
from search.space.genotype import NODES, Edge, Genotype, LayerChoice
from search.space.planned_space import PlannedSpace
from search.space.primitives import OPERATIONS
from search.space.sampling import random_genotype
from search.space.sparsity import Sparsity
from tests.search.space.predictions import assert_equal
from tests.search.space.tables import SMALL, sparse_table

CHANNELS, CELLS = 4, 3
BLOCK = Sparsity(pattern=SparsityPattern.BLOCK, density=0.2)
SPACE = PlannedSpace(channels=CHANNELS, cells=CELLS, task=SMALL, sparsity=BLOCK)
DEPTHWISE = Sparsity(pattern=SparsityPattern.UNSTRUCTURED, density=0.3333, depthwise=True)
SIZE = CellSize(channels=CHANNELS, cells=CELLS, task=SMALL)


class Case:
    """A table, what is planned, and both ways to predict; kept, because prices are looked up once."""

    def __init__(self, table: LatencyTable, sparsity: Sparsity | None) -> None:
        self.table = table
        self.estimator = TableEstimator(table)
        self.encoder = CellEncoder(PriceBook(self.estimator), SIZE, sparsity)
        self.predictor = BatchPredictor(self.estimator, self.encoder)


CASES = {
    "library": Case(sparse_table(SPACE, 0.8), BLOCK),
    "stock": Case(sparse_table(SPACE, 5.0), None),
    "gaps": Case(sparse_table(SPACE, 0.8, missing=0.4), DEPTHWISE),
    "no library": Case(replace(sparse_table(SPACE, 1.0), library=None), BLOCK),
}


def light_cell(rng: np.random.Generator) -> tuple[Edge, ...]:
    """Mostly skips and pools, so that nodes are often the same."""
    names, odds = ("skip_connect", "max_pool_3x3", "dil_conv_3x3"), (0.6, 0.3, 0.1)
    return tuple(
        (str(rng.choice(names, p=odds)), int(source))
        for node in range(NODES)
        for source in sorted(rng.choice(node + 2, size=2, replace=False))
    )


def drawn(rng: np.random.Generator) -> Genotype:
    """Any genotype: widths, layers of every pattern, equal nodes, edges in any order."""
    weighted = [None, 0.2, 0.8][rng.integers(3)]
    genotype = random_genotype(rng, CHANNELS, CELLS, weighted=weighted)
    if rng.random() < 0.4:
        genotype = replace(genotype, normal=light_cell(rng), reduce=light_cell(rng), layers=())
    if rng.random() < 0.1:
        first, second, *rest = genotype.normal
        genotype = replace(genotype, normal=(second, first, *rest), layers=())
    if rng.random() < 0.1:
        genotype = replace(
            genotype, normal=(genotype.normal[0],) * 2 + genotype.normal[2:], layers=()
        )
    return with_random_layers(rng, genotype) if rng.random() < 0.6 else genotype


def with_random_layers(rng: np.random.Generator, genotype: Genotype) -> Genotype:
    patterns = [SparsityPattern.BLOCK, SparsityPattern.UNSTRUCTURED, SparsityPattern.DENSE]
    names = [node.parameters for node in build_graph(genotype, SMALL).nodes if node.parameters]
    choices = tuple(
        LayerChoice(
            layer=name,
            pattern=patterns[rng.integers(3)],
            density=float(rng.choice([0.05, 0.5, 1.0, rng.uniform(0.01, 1.0)])),
        )
        for name in names
        if rng.random() < 0.6
    )
    return genotype.with_layers(genotype.layers + choices)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1_000_000), name=st.sampled_from(sorted(CASES)))
def test_batch_and_graphs_agree(seed: int, name: str) -> None:
    case, rng = CASES[name], np.random.default_rng(seed)
    genotypes = [drawn(rng) for _ in range(3)]
    found = case.predictor.predict(genotypes)
    assert found.table_version == case.table.version
    for index, genotype in enumerate(genotypes):
        wanted = case.estimator.predict(case.encoder.graph(genotype))
        assert_equal(found.prediction(index), wanted)


def test_both_regimes_are_met() -> None:
    genotypes = [random_genotype(np.random.default_rng(seed), CHANNELS, CELLS) for seed in range(9)]
    assert CASES["library"].predictor.predict(genotypes).library.all()
    assert not CASES["stock"].predictor.predict(genotypes).library.any()


def test_random_genotypes_never_need_their_graphs() -> None:
    """Else a batch would be as slow as its graphs."""
    rng = np.random.default_rng(0)
    genotypes = [random_genotype(rng, CHANNELS, CELLS) for _ in range(200)]
    encoded, _ = CASES["library"].encoder.positions(genotypes)
    assert encoded.all()


@pytest.mark.parametrize(
    ("layer", "pattern", "density", "message"),
    [
        ("cells.0.edges.0.pointwise1", SparsityPattern.BLOCK, 0.5, "no block layer"),
        ("cells.0.edges.0", SparsityPattern.CHANNEL, 0.5, "no channel layer"),
        ("cells.9.preprocess0", SparsityPattern.BLOCK, 0.5, "no block layer"),
        ("stem.conv", SparsityPattern.POSITIONS, 0.5, "positions are for"),
    ],
)
def test_what_no_graph_can_be_built_for_is_refused_alike(
    layer: str, pattern: SparsityPattern, density: float, message: str
) -> None:
    pools: tuple[Edge, ...] = tuple(
        ("max_pool_3x3", source) for _ in range(NODES) for source in (0, 1)
    )
    choice = LayerChoice(layer=layer, pattern=pattern, density=density)
    genotype = Genotype(
        normal=pools, reduce=pools, channels=CHANNELS, cells=CELLS, layers=(choice,)
    )
    with pytest.raises(ValueError, match=message):
        CASES["stock"].predictor.predict([genotype])


def test_nothing_to_predict_is_refused() -> None:
    with pytest.raises(ValueError, match="no genotype"):
        CASES["stock"].predictor.predict([])


def test_operations_are_in_the_order_that_the_formula_slices() -> None:
    assert OPERATIONS[4:] == ("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5")
