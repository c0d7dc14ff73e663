"""The mixture of a network, and the network of a mixture: they are one."""

import numpy as np
import pytest
import torch

from latency.operator import SparsityPattern
from search.problems.cells import CellProblem
from search.problems.choice import problem_of
from search.requests import DatasetRef, SearchRequest
from search.space.genotype import LayerChoice
from search.space.task import TaskShape

TASK = TaskShape(image_channels=1, image_size=16, classes=10)


@pytest.mark.parametrize("space", ["dass-cells", "stages"])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_derived_from_a_path_is_its_network(space: str, seed: int) -> None:
    request = SearchRequest(
        dataset=DatasetRef(format="digits"), space=space, channels=4, density=0.5, budget_ms=1.0
    )
    problem = problem_of(request, TASK)
    tables = list(problem.alphas(torch.Generator()).tables)
    for genotype in problem.fair_networks(np.random.default_rng(seed)):
        path = problem.path(genotype)
        alphas = {name: 9.0 * table for name, table in zip(tables, path, strict=True)}
        assert problem.derive(alphas) == genotype
        if isinstance(problem, CellProblem):
            # Eight edges of each kind of cell, one operation each.
            assert [table.sum() for table in path] == [8.0, 8.0]
        else:
            assert all((table.sum(axis=1) == 1.0).all() for table in path)
        sparse = LayerChoice(layer="classifier", pattern=SparsityPattern.BLOCK, density=0.5)
        again = problem.path(genotype.with_layers((sparse,)))
        assert all((one == other).all() for one, other in zip(path, again, strict=True))
