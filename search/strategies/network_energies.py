"""Energies of the layers of a trained network, under the names that its graph gives them."""

from torch import nn

from search.layers.operations import FactorizedReduce
from search.layers.sparse import sparse_layers
from search.strategies.energies import Floats, LayerEnergies, layer_energies


def network_energies(network: nn.Module) -> dict[str, LayerEnergies]:
    """Return the energies of each sparse layer by its path, as `parameters` of a graph names it.

    Both convolutions of a factorized reduce are one layer there.
    """
    modules = dict(network.named_modules())
    weights: dict[str, list[Floats]] = {}
    for path, layer in sparse_layers(network).items():
        owner = path.rpartition(".")[0]
        name = owner if isinstance(modules[owner], FactorizedReduce) else path
        weights.setdefault(name, []).append(layer.weight.detach().cpu().double().numpy())
    return {name: layer_energies(arrays) for name, arrays in weights.items()}
