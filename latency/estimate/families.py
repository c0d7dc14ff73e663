"""Families of operators: those that a runtime executes alike, so that one says much of another."""

from latency.operator import OperatorKind, OperatorSpec, Regime


def family_of(spec: OperatorSpec) -> str:
    """Return the name of the operators that are executed alike."""
    if spec.regime is Regime.LIBRARY:
        return f"library {_family_of(spec)}"
    if spec.dtype != "float32":
        return f"{spec.dtype} {_family_of(spec)}"
    return _family_of(spec)


def _family_of(spec: OperatorSpec) -> str:
    if spec.kind is not OperatorKind.CONV:
        return spec.kind.value
    if spec.groups > 1:
        return "conv depthwise" if spec.groups == spec.in_channels else "conv grouped"
    return "conv 1x1" if spec.kernel == 1 else "conv"
