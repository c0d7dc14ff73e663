"""Plain JSON values of a genotype, before they become one: refused with what is wrong and allowed."""

from collections.abc import Mapping
from typing import Any

from latency.operator import SparsityPattern

_PAIR = 2


def check_form(
    values: Any,
    what: str,
    required: tuple[str, ...],
    optional: tuple[str, ...] = (),
    *,
    closed: bool = False,
) -> None:
    """Raise ValueError where `values` is no object with these keys.

    Args:
        values: of a JSON document.
        what: the thing that it should be, for the message.
        required: keys that it needs.
        optional: keys that it may have as well.
        closed: whether other keys are refused.
    """
    form = f"{what} has the keys {', '.join(required)}"
    if optional:
        form += f", and may have {', '.join(optional)}"
    if not isinstance(values, Mapping):
        raise ValueError(f"genotype: malformed: {form}; got {_kind(values)}")
    missing = [key for key in required if key not in values]
    if missing:
        raise ValueError(f"genotype: malformed: {', '.join(missing)} missing; {form}")
    unknown = [str(key) for key in values if key not in (*required, *optional)]
    if closed and unknown:
        raise ValueError(f"genotype: malformed: {', '.join(unknown)} unknown; {form}")


def check_integers(values: Mapping[str, Any], *names: str) -> None:
    """Raise ValueError where one of these values is no whole number."""
    for name in names:
        if type(values[name]) is not int:
            raise ValueError(
                f"genotype: malformed: {name} must be a whole number, got {_kind(values[name])}"
            )


def check_list(values: Any, name: str, what: str) -> None:
    """Raise ValueError where a value is no list; `what` says what is in it."""
    if not isinstance(values, list | tuple):
        raise ValueError(
            f"genotype: malformed: {name} must be a list of {what}, got {_kind(values)}"
        )


def check_edges(edges: Any, name: str) -> None:
    """Raise ValueError where the edges of a cell are not written as DARTS writes them."""
    check_list(edges, name, "[operation, input]")
    for index, edge in enumerate(edges):
        is_pair = isinstance(edge, list | tuple) and len(edge) == _PAIR
        if not is_pair or not isinstance(edge[0], str) or type(edge[1]) is not int:
            raise ValueError(
                f"genotype: malformed: {name} edge {index} must be [operation, input], such as "
                f'["skip_connect", 0]'
            )


def check_choices(layers: Any) -> None:
    """Raise ValueError where the sparsity of layers is not a list of objects with three keys."""
    check_list(layers, "layers", "choices")
    patterns = [pattern.value for pattern in SparsityPattern]
    for index, choice in enumerate(layers):
        what = f"choice {index} of layers"
        check_form(choice, what, ("layer", "pattern", "density"), closed=True)
        if not isinstance(choice["layer"], str):
            raise ValueError(f"genotype: malformed: layer of {what} must be a name")
        if choice["pattern"] not in patterns:
            raise ValueError(f"genotype: malformed: pattern of {what} must be one of {patterns}")
        if type(choice["density"]) not in (int, float):
            raise ValueError(f"genotype: malformed: density of {what} must be a number")


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a text", type(None): "null", bool: "true or false"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else "an object")
