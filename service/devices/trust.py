"""How far a device is believed: operators that are known here are mixed into its work and compared.

The rules of BOINC's adaptive replication: a device is checked each time until ten profiles in a row
have agreed, then with probability 1/n after n of them, and never with less than one in twenty, since
a device that was honest for long may change. The device is not told which operators are checks.
"""

import random
import statistics
from collections.abc import Iterable, Mapping, Sequence

from latency.operator import OperatorSpec
from latency.table import TableRow

CHECKS = 8  # operators; any factor of eight in the units of a device shows in all of them
ENOUGH = 3  # of them decide: the others may come later, or not at all
TRUSTED_AFTER = 10  # profiles in a row
LEAST_SHARE = 0.05
# Devices of a class differ by ten per cent, and a noisy host by 2.2 between its best and its worst.
TOLERANCE = 2.0

_LEAST_NS = 1_000.0  # operators that cost next to nothing have no ratio
_WORST_SPREAD = 0.25  # of the cost
PENDING = "waits for operators of the same upload that are known here"


def share_checked(agreed: int) -> float:
    """Return the share of profiles that are checked, after so many in a row that agreed."""
    return 1.0 if agreed < TRUSTED_AFTER else max(1.0 / agreed, LEAST_SHARE)


def is_usable(row: TableRow) -> bool:
    """Whether an operator is known so well that a device can be judged by it."""
    is_settled = row.spread_ns <= _WORST_SPREAD * row.median_ns and not row.unstable
    return row.median_ns >= _LEAST_NS and is_settled


def mixed(
    operators: Sequence[OperatorSpec], checks: Iterable[OperatorSpec], rng: random.Random
) -> tuple[OperatorSpec, ...]:
    """Return the operators in their order, with each check at a place of its own."""
    together = list(operators)
    for check in checks:
        together.insert(rng.randint(0, len(together)), check)
    return tuple(together)


def ratio(found_ns: Mapping[str, float], known_ns: Mapping[str, float]) -> float | None:
    """Return how many times as long as known the checks took, by the median; None with too few."""
    ratios = [
        found_ns[key] / known for key, known in known_ns.items() if key in found_ns and known > 0
    ]
    return statistics.median(ratios) if len(ratios) >= ENOUGH else None


def agrees(times: float) -> bool:
    """Whether a device that takes so many times as long as known can be believed."""
    return 1.0 / TOLERANCE <= times <= TOLERANCE


def refusal(times: float) -> str:
    """Return why nothing of an upload is used."""
    return f"operators that are known here took {times:.3g} times as long as known"
