"""What a model does where the library is absent: every operator as a function of standard ones.

A model carries the function of each operator that it uses; a runtime that has the operator itself
ignores it.
"""

import onnx

from latency.lowering import fallback_conv
from latency.lowering.window_fallbacks import WINDOW_OP_TYPES, window_fallback

FAMILIES = (*fallback_conv.FAMILIES,)

_OPERATORS = {
    op_type.name: (op_type, family) for family in FAMILIES for op_type in family.op_types()
}


def fallback_function(op_type: str) -> onnx.FunctionProto:
    """Return an operator of the library in standard operators, for any shape.

    Raises:
        ValueError: the library has no such operator.
    """
    if op_type in WINDOW_OP_TYPES:
        return window_fallback(op_type)
    if op_type not in _OPERATORS:
        raise ValueError(f"lowering: the library has no operator {op_type!r}")
    parsed, family = _OPERATORS[op_type]
    return family.fallback(parsed)
