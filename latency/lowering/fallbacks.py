"""What a model does where the library is absent: every operator as a function of standard ones.

A model carries the function of each operator that it uses; a runtime that has the operator itself
ignores it.
"""

import onnx

from latency.lowering import fallback_conv, window_fallbacks
from latency.lowering.op_types import OpType

FAMILIES = (*fallback_conv.FAMILIES, *window_fallbacks.FAMILIES)

_OPERATORS = {
    op_type.name: (op_type, family) for family in FAMILIES for op_type in family.op_types()
}


def op_types(base: str) -> tuple[OpType, ...]:
    """Return every operator of a base, in the order of prefix, residual and activation.

    Raises:
        ValueError: the library has no operator of this base.
    """
    found = tuple(op_type for op_type, family in _OPERATORS.values() if family.base == base)
    if not found:
        raise ValueError(f"lowering: the library has no operators of base {base!r}")
    return found


def fallback_function(op_type: str) -> onnx.FunctionProto:
    """Return an operator of the library in standard operators, for any shape.

    Raises:
        ValueError: the library has no such operator.
    """
    if op_type not in _OPERATORS:
        raise ValueError(f"lowering: the library has no operator {op_type!r}")
    parsed, family = _OPERATORS[op_type]
    return family.fallback(parsed)
