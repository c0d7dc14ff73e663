"""How much the loss rises when one layer alone is pruned: measured, for each option, at one shot."""

from dataclasses import dataclass, field

from latency.operator import SparsityPattern
from search.compress.calibration import Calibration
from search.finalize.layer_distortion import reached_density
from search.layers.patterns import group_sizes
from search.space.sparsity import Sparsity


@dataclass(frozen=True, kw_only=True, eq=False)
class OneShotLayer:
    """A layer of the network that is judged; each option is measured when it is first asked for."""

    calibration: Calibration
    layer: str  # by operator
    dense_loss: float  # of the network as it is
    measured: dict[Sparsity, float] = field(default_factory=dict)

    def reached(self, pattern: SparsityPattern, density: float) -> float:
        """Return the fraction of groups that training towards a density keeps."""
        if pattern is SparsityPattern.DENSE:
            return 1.0
        parts = self.calibration.operators[self.layer].values()
        counts = [group_sizes(part.weight.shape, pattern).numel() for part in parts]
        return reached_density(counts, density)

    def distortion(self, pattern: SparsityPattern, density: float) -> float:
        """Return by how much the loss rises; zero where it falls."""
        if pattern is SparsityPattern.DENSE:
            return 0.0
        option = Sparsity(pattern=pattern, density=density)
        if option not in self.measured:
            loss = self.calibration.loss({self.layer: option})
            self.measured[option] = max(0.0, loss - self.dense_loss)
        return self.measured[option]


def one_shot(calibration: Calibration) -> dict[str, OneShotLayer]:
    """Return every layer of a network by operator; nothing but its dense loss is measured yet."""
    dense_loss = calibration.loss({})
    return {
        name: OneShotLayer(calibration=calibration, layer=name, dense_loss=dense_loss)
        for name in calibration.operators
    }
