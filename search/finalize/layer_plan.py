"""LayerPlan: pattern, density and dtype of the layers of one network, and why these."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from latency.operator import SparsityPattern
from search.space.sparsity import Sparsity


@dataclass(frozen=True, kw_only=True)
class LayerPlan:
    """What the layers of a network are pruned to."""

    layers: Mapping[str, Sparsity]  # of every sparse layer, by path
    facts: Mapping[str, Any]  # how it was found, as plain JSON values
    int8: tuple[str, ...] = ()  # operators that the exported file has in int8, by name of the node

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        layers = {path: [one.pattern.value, one.density] for path, one in self.layers.items()}
        return {"layers": layers, "facts": dict(self.facts), "int8": list(self.int8)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "LayerPlan":
        """Build from what `to_dict` gave."""
        layers = {
            path: Sparsity(pattern=SparsityPattern(pattern), density=density)
            for path, (pattern, density) in values["layers"].items()
        }
        # Earlier versions knew no int8.
        return cls(layers=layers, facts=values["facts"], int8=tuple(values.get("int8", ())))
