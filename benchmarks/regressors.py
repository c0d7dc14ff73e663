"""The multi-layer regressor against the table, on the same whole networks.

It sees which operations a genotype has, and neither widths nor densities, as in its paper (see
`search.objective.latency_regressor`). Two of three networks train it, the others judge it, alone and
as a factor on the table, beside the table alone, which was calibrated on other networks.
"""

from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.recorded import Accuracy, compared
from latency.estimate.calibrate import usable_networks
from latency.estimate.lookup_table import TableEstimator
from latency.measurement import NetworkMeasurement
from latency.operator import Regime
from latency.table import LatencyTable
from latency.units import ns_to_ms
from search.objective.latency_regressor import MIN_NETWORKS, fit_regressor
from search.space.cell_encoding import encode_edges
from search.space.genotype import Genotype

_JUDGES = 3  # one network in so many
_LEAST_NETWORKS = _JUDGES * MIN_NETWORKS


def regressor_accuracy(
    table: LatencyTable,
    genotypes: Sequence[Genotype],
    networks: Sequence[NetworkMeasurement],
    regime: Regime,
) -> dict[str, Accuracy]:
    """Return how far each kind of estimator is from the judges; empty with too few networks.

    Args:
        table: calibrated, of the target that measured the networks.
        genotypes: of the networks of the regime, in their order.
        networks: measured whole.
        regime: in which they were executed.
    """
    known = usable_networks(networks, regime)
    if len(known) < _LEAST_NETWORKS:
        return {}
    estimator = TableEstimator(table)
    by_table = torch.tensor([estimator.predict_form(graph).latency_ms for graph, _ in known])
    measured = torch.tensor([ns_to_ms(median) for _, median in known])
    measured, by_table = measured.double(), by_table.double()
    edges = torch.from_numpy(encode_edges(genotypes))
    judges = torch.from_numpy(np.arange(len(known)) % _JUDGES == 0)
    alone = measured[~judges].log().mean().exp().expand(len(known))
    found = {"table": by_table}
    for name, base in (("table, regressor", by_table), ("regressor", alone)):
        regressor = fit_regressor(edges[~judges], base[~judges], measured[~judges])
        found[name] = base * regressor(edges)
    return {
        name: compared(predicted[judges].tolist(), measured[judges].tolist())
        for name, predicted in found.items()
    }
