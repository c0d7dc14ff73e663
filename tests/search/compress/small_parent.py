"""A small trained-looking network with every kind of layer, prices of it, images to judge it on."""

from functools import lru_cache

import torch
from torch import nn

from latency.estimate.lookup_table import TableEstimator
from search.compress.calibration import Calibration
from search.compress.planner import Planner
from search.compress.request import Distortion, Mapping
from search.data.batches import Examples
from search.finalize.densities import SPARSE_OPTIONS
from search.finalize.final_network import FinalNetwork
from search.finalize.stage_network import StageNetwork
from search.space.networks import network_graph
from tests.search.finalize.trained import as_if_trained
from tests.search.space.stages import mixed_stages
from tests.search.space.tables import SMALL, exact_table, some_genotype

STAGES = mixed_stages(4)
GRAPH = network_graph(STAGES, SMALL)


def examples(count: int) -> Examples:
    """Return images that are noise, with labels."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 1, 8, 8, generator=generator)
    return Examples(images=images, labels=torch.arange(count) % SMALL.classes)


@lru_cache(maxsize=1)
def stages() -> nn.Module:
    """Return a network of stages as if it had been trained; nobody may change it."""
    return as_if_trained(lambda: StageNetwork(STAGES, SMALL), 1.0, "unstructured")


@lru_cache(maxsize=1)
def cells() -> nn.Module:
    """Return one of cells, whose factorized reduces are one operator and two layers; likewise."""
    return as_if_trained(lambda: FinalNetwork(some_genotype(8), SMALL), 1.0, "unstructured")


def calibration(network: nn.Module, count: int = 12) -> Calibration:
    """Return what judges a network."""
    return Calibration(network, examples(count))


@lru_cache(maxsize=1)
def estimator() -> TableEstimator:
    """Return prices of all that the network of stages can be."""
    return TableEstimator(exact_table(GRAPH, 0.8))


def planner(share: float, mapping: Mapping, distortion: Distortion = Distortion.ENERGY) -> Planner:
    """Return what plans the network of stages under a share of its dense latency."""
    return Planner(
        graph=GRAPH,
        estimator=estimator(),
        budget_ms=share * estimator().predict(GRAPH).high_ms,
        options=SPARSE_OPTIONS,
        examples=examples(12),
        distortion=distortion,
        mapping=mapping,
        seed=0,
    )
