"""How often networks of a space execute which operators, in both regimes: what a plan rests on."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from latency.estimate.execution import executed_nodes
from latency.graph import INPUT, NetworkGraph
from latency.library_form import library_form, row_spec
from latency.operator import OperatorSpec, SparsityPattern
from latency.plan import SpaceUsage
from search.space.sparsity import Sparsity, sparse_spec, with_sparsity

POINT_DENSITIES = (0.05, 0.1, 0.25, 0.5, 1.0)  # at which rows can be measured
_NETWORK_DENSITIES = (0.07, 0.16, 0.35, 0.7, 1.0)  # of the networks: mostly between the rows


def space_usage(
    graphs: Sequence[NetworkGraph], pattern: SparsityPattern, *, with_library: bool
) -> SpaceUsage:
    """Return the usage of the operators of a space.

    Args:
        graphs: random networks of the space, in the stock regime, dense.
        pattern: of the zeros that are planned.
        with_library: whether networks can also run in the operator library.
    """
    forms = [library_form(graph) for graph in graphs] if with_library else []
    points = {node.spec: None for graph in graphs for node in executed_nodes(graph)}
    for density in POINT_DENSITIES:
        sparsity = Sparsity(pattern=pattern, density=density)
        points |= dict.fromkeys(_library_points(forms, sparsity))
    executed = [*graphs, *_sparse_at_some_density(forms, pattern)]
    counts = [Counter(row_spec(node.spec) for node in executed_nodes(graph)) for graph in executed]
    operators = tuple(dict.fromkeys(spec for count in counts for spec in count))
    return SpaceUsage(
        operators=operators,
        counts=np.array([[float(count[spec]) for spec in operators] for count in counts]),
        points=tuple(points),
    )


def _sparse_at_some_density(
    forms: Sequence[NetworkGraph], pattern: SparsityPattern
) -> list[NetworkGraph]:
    return [
        with_sparsity(
            form,
            Sparsity(pattern=pattern, density=_NETWORK_DENSITIES[index % len(_NETWORK_DENSITIES)]),
        )
        for index, form in enumerate(forms)
    ]


def _library_points(forms: Sequence[NetworkGraph], sparsity: Sparsity) -> list[OperatorSpec]:
    """Return the operators of networks at one density; what reads the image stays dense."""
    found = dict.fromkeys(
        (node.spec, INPUT in node.inputs) for form in forms for node in form.nodes
    )
    return [row_spec(spec if reads else sparse_spec(spec, sparsity)) for spec, reads in found]
