"""The network of stages that can be promised within the least budget."""

import numpy as np

from latency.estimate.estimator import Prediction
from search.space.sparsity import PlannedEstimator
from search.space.stage_costs import StageCosts
from search.space.stage_genotype import StageGenotype
from search.space.stage_networks import build_stages
from search.space.stage_skeleton import StageSkeleton


def smallest_stages(
    estimator: PlannedEstimator, skeleton: StageSkeleton
) -> tuple[StageGenotype, Prediction]:
    """Return the network of a skeleton whose predicted interval ends lowest, and its prediction."""
    best: tuple[StageGenotype, Prediction] | None = None
    for group in StageCosts(estimator, skeleton).groups():
        for number in np.argsort(group.high_ms, kind="stable").tolist():
            if best is not None and group.high_ms[number] >= best[1].high_ms:
                break
            genotype = skeleton.genotype(group.choice(number))
            prediction = estimator.predict(build_stages(genotype, skeleton.task))
            if best is None or prediction.high_ms < best[1].high_ms:
                best = genotype, prediction
    assert best is not None
    return best
