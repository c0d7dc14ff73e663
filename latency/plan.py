"""What still has to be measured, and how long that will take."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from latency.operator import OperatorSpec

_SECONDS_PER_MINUTE = 60.0


@dataclass(frozen=True, kw_only=True)
class MeasuringCosts:
    """How long one measurement takes; the defaults stand until a target has a history."""

    operator_s: float = 0.1
    process_s: float = 0.8  # one fresh process of one whole network

    @classmethod
    def observed(
        cls, *, operators: int, operators_s: float, processes: int = 0, processes_s: float = 0.0
    ) -> "MeasuringCosts":
        """Return the costs of past work: counts and the seconds that they took in all."""
        default = cls()
        return cls(
            operator_s=operators_s / operators if operators else default.operator_s,
            process_s=processes_s / processes if processes else default.process_s,
        )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The measurements that a target still needs."""

    operators: tuple[OperatorSpec, ...]  # distinct, in the order in which they were asked for
    networks: int = 0  # whole networks, for calibration and held out
    processes: int = 3  # fresh processes per network
    costs: MeasuringCosts = MeasuringCosts()

    @property
    def minutes(self) -> float:
        """Expected time on the device."""
        operators = len(self.operators) * self.costs.operator_s
        networks = self.networks * self.processes * self.costs.process_s
        return (operators + networks) / _SECONDS_PER_MINUTE


def missing_operators(
    wanted: Iterable[OperatorSpec], known_keys: Collection[str]
) -> tuple[OperatorSpec, ...]:
    """Return the operators without a row: each once, in order."""
    known = set(known_keys)
    return tuple(spec for spec in dict.fromkeys(wanted) if spec.key not in known)
