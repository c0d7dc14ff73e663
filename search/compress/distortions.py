"""The estimates of what layers lose, by the names that requests use."""

from collections.abc import Callable, Mapping

from search.compress.calibration import Calibration
from search.compress.one_shot import one_shot
from search.compress.request import Distortion
from search.compress.sensitivities import first_order, second_order
from search.finalize.layer_distortion import LayerDistortion
from search.finalize.network_energies import network_energies

# Of a trained network the layers, named as `parameters` of its graph.
ESTIMATES: Mapping[Distortion, Callable[[Calibration], Mapping[str, LayerDistortion]]] = {
    Distortion.ENERGY: lambda calibration: network_energies(calibration.network),
    Distortion.FIRST_ORDER: first_order,
    Distortion.SECOND_ORDER: second_order,
    Distortion.ONE_SHOT: one_shot,
}
