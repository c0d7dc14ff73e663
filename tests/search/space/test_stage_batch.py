"""Predictions of many networks of stages at once are those of their graphs, one by one."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.estimate.lookup_table import TableEstimator
from latency.estimate.price_book import PriceBook
from latency.operator import SparsityPattern
from search.space.batch import BatchPredictor
from search.space.genotype import LayerChoice
from search.space.sparsity import LAYER_PATTERNS, Sparsity
from search.space.stage_batch import StageEncoder
from search.space.stage_genotype import Stage, StageGenotype
from search.space.stage_networks import build_stages
from search.space.stage_space import StageSpace
from tests.search.space.predictions import assert_equal
from tests.search.space.tables import DIGITS, sparse_table

SPACE = StageSpace(width=8, task=DIGITS)
ESTIMATORS = {
    "library": TableEstimator(sparse_table(SPACE, 0.8)),
    "stock": TableEstimator(sparse_table(SPACE, 5.0)),
    "gaps": TableEstimator(sparse_table(SPACE, 0.8, missing=0.4)),
    "no library": TableEstimator(replace(sparse_table(SPACE, 1.0), library=None)),
}
PLANS = {
    "library": Sparsity(pattern=SparsityPattern.BLOCK, density=0.2),
    "gaps": Sparsity(pattern=SparsityPattern.UNSTRUCTURED, density=0.3333, depthwise=True),
}
ENCODERS = {
    name: StageEncoder(PriceBook(estimator), DIGITS, PLANS.get(name))
    for name, estimator in ESTIMATORS.items()
}
PREDICTORS = {name: BatchPredictor(ESTIMATORS[name], ENCODERS[name]) for name in ESTIMATORS}


def drawn(rng: np.random.Generator) -> StageGenotype:
    """Any genotype: of the space or outside of it, with choices for layers and stages."""
    genotype = SPACE.random_genotype(rng)
    if rng.random() < 0.3:
        odd = Stage(kind="inverted", width=13, depth=2, stride=2, kernel=5, expansion=3)  # type: ignore[arg-type]
        genotype = replace(genotype, stages=(odd, *genotype.stages[1:]), head=77)
    if rng.random() < 0.4:
        return genotype
    names = [node.parameters for node in build_stages(genotype, DIGITS).nodes if node.parameters]
    choices = tuple(
        LayerChoice(
            layer=name,
            pattern=LAYER_PATTERNS[rng.integers(3)],
            density=float(rng.choice([0.05, 0.5, 1.0, rng.uniform(0.01, 1.0)])),
        )
        for name in [*names, "stages.0", "stages.2"]
        if rng.random() < 0.6
    )
    return genotype.with_layers(choices)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1_000_000), name=st.sampled_from(sorted(ESTIMATORS)))
def test_batch_and_graphs_agree(seed: int, name: str) -> None:
    rng = np.random.default_rng(seed)
    genotypes = [drawn(rng) for _ in range(3)]
    assert ENCODERS[name].positions(genotypes)[0].all(), "none needs its graph"
    found = PREDICTORS[name].predict(genotypes)
    for index, genotype in enumerate(genotypes):
        wanted = ESTIMATORS[name].predict(ENCODERS[name].graph(genotype))
        assert_equal(found.prediction(index), wanted)


@pytest.mark.parametrize("layer", ["stages.4", "stages.0.9.conv", "stages.0.", "neck"])
def test_a_layer_that_is_not_there_is_refused(layer: str) -> None:
    choice = LayerChoice(layer=layer, pattern=SparsityPattern.BLOCK, density=0.5)
    plain = Stage(kind="plain", width=8, depth=1)  # type: ignore[arg-type]
    genotype = StageGenotype(stem=8, stages=(plain,) * 3, layers=(choice,))
    with pytest.raises(ValueError, match="the network has no layer"):
        PREDICTORS["library"].predict([genotype])
