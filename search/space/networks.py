"""Genotypes of any space: read from plain values, and as the networks that they are."""

from typing import Any

from latency.graph import NetworkGraph
from search.space.dass_cells import build_graph
from search.space.genotype import Genotype
from search.space.stage_genotype import StageGenotype
from search.space.stage_networks import build_stages
from search.space.task import TaskShape

AnyGenotype = Genotype | StageGenotype


def read_genotype(values: dict[str, Any]) -> AnyGenotype:
    """Return what `to_dict` of some genotype gave; ValueError says what is wrong."""
    return StageGenotype.from_dict(values) if "stages" in values else Genotype.from_dict(values)


def network_graph(genotype: AnyGenotype, task: TaskShape) -> NetworkGraph:
    """Return the network of a genotype, in the stock regime, as sparse as it says.

    Raises:
        ValueError: the genotype chooses sparsity for a layer that the network does not have.
    """
    if isinstance(genotype, StageGenotype):
        return build_stages(genotype, task)
    return build_graph(genotype, task)
