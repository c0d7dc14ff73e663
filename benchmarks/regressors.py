"""The multi-layer regressor against the table, on the same whole networks.

It sees which operations a genotype has, and neither widths nor densities, as in its paper (see
`search.objective.latency_regressor`). Two of three networks train it, the others judge it, alone and
as a factor on the table, beside the table alone, which was calibrated on other networks.
"""

from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.recorded import Accuracy, compared
from latency.estimate.calibrate import quiet_networks
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
        genotypes: that networks were made of; the names of networks end in their positions.
        networks: measured whole.
        regime: in which they were executed.
    """
    known = quiet_networks(networks, regime)
    if len(known) < _LEAST_NETWORKS:
        return {}
    estimator = TableEstimator(table)
    graphs = [network.graph for network in known if network.graph is not None]
    predicted = [estimator.predict_form(graph).latency_ms for graph in graphs]
    by_table = torch.tensor(predicted, dtype=torch.float64)
    measured = torch.tensor([ns_to_ms(network.median_ns) for network in known]).double()
    positions = [int(network.name.rpartition("-")[2]) for network in known]
    edges = torch.from_numpy(encode_edges([genotypes[position] for position in positions]))
    judges = torch.from_numpy(np.arange(len(known)) % _JUDGES == 0)
    alone = measured[~judges].log().mean().exp().expand(len(known))
    estimates = {"table": by_table}
    for name, base in (("table, regressor", by_table), ("regressor", alone)):
        regressor = fit_regressor(edges[~judges], base[~judges], measured[~judges])
        estimates[name] = base * regressor(edges)
    return {
        name: compared(estimate[judges].tolist(), measured[judges].tolist())
        for name, estimate in estimates.items()
    }
