"""Single paths: which networks a supernet is trained on, one after the other, to judge them later.

Uniform sampling of one path a step is that of SPOS (Guo et al., arXiv 1904.00420, section 3); drawn in
turns that treat all options of a choice alike, as in FairNAS (arXiv 1907.01845), but with a step of
the weights after each network, so that few epochs are many steps.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from search.engine.problem import SearchProblem


def single_paths(problem: SearchProblem[Any], epoch: int) -> Iterator[list[Tensor]]:
    """Yield the mixtures of single networks without end; seed and epoch alone decide which."""
    for turn in itertools.count():
        rng = np.random.default_rng([problem.request.seed, epoch, turn])
        for network in problem.fair_networks(rng):
            yield path_tensors(problem, network)


def path_tensors(problem: SearchProblem[Any], genotype: Any) -> list[Tensor]:
    """Return the mixture that is one network alone, as the supernet takes it."""
    return [torch.from_numpy(table).float() for table in problem.path(genotype)]
