"""Which sparse layers each operator of an exported network is made of."""

from torch import nn

from search.layers.operations import FactorizedReduce
from search.layers.sparse import SparseLayer, sparse_layers


def operator_layers(network: nn.Module) -> dict[str, dict[str, SparseLayer]]:
    """Return the sparse layers of a network by operator, those of each by path.

    Operators are named as `parameters` of a graph. Both convolutions of a factorized reduce are
    one operator.
    """
    modules = dict(network.named_modules())
    found: dict[str, dict[str, SparseLayer]] = {}
    for path, layer in sparse_layers(network).items():
        owner = path.rpartition(".")[0]
        name = owner if isinstance(modules[owner], FactorizedReduce) else path
        found.setdefault(name, {})[path] = layer
    return found
