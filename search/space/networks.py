"""Genotypes of any space: read from plain values, and as the networks that they are."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from latency.graph import NetworkGraph
from search.space.dass_cells import build_graph
from search.space.genotype import Genotype
from search.space.graph_genotype import GraphGenotype
from search.space.stage_genotype import StageGenotype
from search.space.stage_networks import build_stages
from search.space.task import TaskShape

AnyGenotype = Genotype | StageGenotype | GraphGenotype

_TOLD_BY = {"normal", "reduce", "stages", "graph"}  # keys that say which kind of genotype it is
NARROWEST = 4  # channels of the first cell, or of the stem


def read_genotype(values: Any) -> AnyGenotype:
    """Return what `to_dict` of some genotype gave; ValueError says what is wrong and allowed."""
    if not isinstance(values, Mapping) or not values.keys() & _TOLD_BY:
        known = "normal (cells), stages (stages) or graph (a network that is given)"
        raise ValueError(f"genotype: malformed: it must be an object with the key {known}")
    if "graph" in values:
        return GraphGenotype.from_dict(dict(values))
    if "stages" in values:
        return StageGenotype.from_dict(dict(values))
    return Genotype.from_dict(dict(values))


def network_graph(genotype: AnyGenotype, task: TaskShape) -> NetworkGraph:
    """Return the network of a genotype, in the stock regime, as sparse as it says.

    Raises:
        ValueError: the genotype chooses sparsity for a layer that the network does not have, or is
            of a network that was given and is for another task.
    """
    if isinstance(genotype, GraphGenotype):
        return genotype.network(task)
    if isinstance(genotype, StageGenotype):
        return build_stages(genotype, task)
    return build_graph(genotype, task)


def narrower_forms(genotype: AnyGenotype) -> Iterator[AnyGenotype]:
    """Yield the network itself, then the same with fewer and fewer channels, all of them alike.

    The fewest are NARROWEST in the first cell or the stem. One that was given stays as it is.
    """
    if isinstance(genotype, GraphGenotype):
        yield genotype
        return
    if isinstance(genotype, Genotype):
        for channels in range(genotype.channels, NARROWEST - 1, -1):
            yield replace(genotype, channels=channels)
        return
    for stem in range(genotype.stem, NARROWEST - 1, -1):
        share = stem / genotype.stem
        stages = (replace(s, width=max(1, round(share * s.width))) for s in genotype.stages)
        yield replace(genotype, stem=stem, stages=tuple(stages), head=round(share * genotype.head))
