"""Names of the library's operators: `[Relu]BASE[Add][Relu|Relu6|Silu|HardSwish]`.

A prefix and the suffixes say, in the order of execution, what is fused around the base: ReLU on
the input as it is read, a residual that is added, an activation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import onnx

ACTIVATION_SUFFIXES = ("", "Relu", "Relu6", "Silu", "HardSwish")


@dataclass(frozen=True, kw_only=True)
class OpType:
    """One operator of the library, as its name says."""

    base: str
    relu_input: bool = False
    residual: bool = False
    activation: str = ""  # one of ACTIVATION_SUFFIXES

    @property
    def name(self) -> str:
        """The op type of a node."""
        prefix = "Relu" if self.relu_input else ""
        return f"{prefix}{self.base}{'Add' if self.residual else ''}{self.activation}"


@dataclass(frozen=True, kw_only=True)
class Family:
    """One base, what may be fused around it, and its fallback in standard operators."""

    base: str
    relu_input: bool
    residual: bool
    activations: bool
    fallback: Callable[[OpType], onnx.FunctionProto]

    def op_types(self) -> list[OpType]:
        """Return every operator of the family."""
        return [
            OpType(base=self.base, relu_input=relu, residual=residual, activation=activation)
            for relu, residual, activation in product(
                (False, True) if self.relu_input else (False,),
                (False, True) if self.residual else (False,),
                ACTIVATION_SUFFIXES if self.activations else ("",),
            )
        ]
