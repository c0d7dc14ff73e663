"""Energies of the layers of a trained network, under the names that its graph gives them."""

from torch import nn

from search.finalize.energies import LayerEnergies, layer_energies
from search.layers.operator_layers import operator_layers


def network_energies(network: nn.Module) -> dict[str, LayerEnergies]:
    """Return the energies of each layer by its operator, as `parameters` of a graph names it."""
    return {
        name: layer_energies(
            [layer.weight.detach().cpu().double().numpy() for layer in parts.values()]
        )
        for name, parts in operator_layers(network).items()
    }
