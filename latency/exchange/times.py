"""Times that no clock gives, in files: refused with the place, the operator or network, the value.

A time that is possible and cannot be true is judged by `latency.quarantine` instead.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from latency.measurement import NetworkMeasurement, OperatorMeasurement

MAX_NS = 1e13  # nearly three hours
_LISTED = 10  # problems of one file
_LISTS = ("short_ns", "long_ns", "warmup_ns", "reference_ns")
_NETWORK_LISTS = ("processes_ns", "reference_ns", "dense_parent_ns", "without_library_ns")


def refuse(what: str, problems: Iterable[str]) -> None:
    """Raise ValueError where there are problems: the first ones, and how many more there are."""
    found = list(problems)
    if found:
        more = f"; and {len(found) - _LISTED} more like these" if len(found) > _LISTED else ""
        raise ValueError(f"{what}: {'; '.join(found[:_LISTED])}{more}")


def time_problems(
    operators: Iterable[OperatorMeasurement],
    networks: Iterable[NetworkMeasurement],
    path: str = "$",
) -> Iterator[str]:
    """Yield for each list of samples the first one that is no time."""
    for index, operator in enumerate(operators):
        for name in _LISTS if operator.samples is not None else ():
            where = f"{path}.operators[{index}].samples.{name}"
            yield from _no_times(where, operator.spec.label(), getattr(operator.samples, name))
    for index, network in enumerate(networks):
        for name in _NETWORK_LISTS:
            for process, samples in enumerate(getattr(network, name)):
                where = f"{path}.networks[{index}].{name}[{process}]"
                yield from _no_times(where, repr(network.name), samples)


def date_problems(place: str, text: str) -> Iterator[str]:
    """Yield what is wrong with a time of day of a device, as text."""
    try:
        is_complete = datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        is_complete = False
    if not is_complete:
        yield f"{place} must be an ISO 8601 time with an offset, got {text[:40]!r}"


def _no_times(where: str, what: str, samples: Sequence[int]) -> Iterator[str]:
    wrong = [index for index, value in enumerate(samples) if not 1 <= value <= MAX_NS]
    if wrong:
        others = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        yield (
            f"{where}[{wrong[0]}] of {what} must be from 1 to {MAX_NS:.0f} ns, "
            f"got {samples[wrong[0]]}{others}"
        )
