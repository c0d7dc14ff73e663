"""How much of an imported file is used, and why the rest is not."""

from collections.abc import Sequence
from dataclasses import dataclass

from latency.measurement import NetworkMeasurement, OperatorMeasurement
from service.devices.imported import StoredProfile
from service.jobs.schemas import QuarantinedRead

_IN_MESSAGE = 3  # measurements in quarantine that a refusal names


@dataclass(frozen=True, kw_only=True)
class Intake:
    """Counts of measurements; what is in quarantine comes with its reason."""

    operators: int
    operators_taken: int
    networks: int
    networks_taken: int
    quarantined: tuple[QuarantinedRead, ...]

    @property
    def is_useful(self) -> bool:
        """Whether something was taken; networks alone only where the file has nothing else.

        A table made of the networks of a file whose operators cannot be true would say that they
        go together with operators of others.
        """
        return self.operators_taken > 0 or (self.networks_taken > 0 and self.operators == 0)

    def refusal(self) -> str:
        """Return why nothing can be used, with the first reasons."""
        reasons = [f"{one.what}: {one.reason}" for one in self.quarantined[:_IN_MESSAGE]]
        more = len(self.quarantined) - len(reasons)
        listed = [*reasons, *([f"and {more} more"] if more else [])]
        return (
            f"Nothing of this file was taken: {self.operators_taken} of its {self.operators} operators "
            f"and {self.networks_taken} of its {self.networks} networks can be used. "
            f"{'; '.join(listed) or 'All others failed where they were measured'}."
        )


def intake_of(devices: Sequence[str], stored: Sequence[StoredProfile]) -> Intake:
    """Return what became of the parts of a file; `devices` are the names of those that measured."""
    judged = [
        (device, measured, reason)
        for device, part in zip(devices, stored, strict=True)
        for measured, reason in part.judged
    ]
    taken = [measured for _, measured, reason in judged if not (reason or measured.error)]
    of_operators = sum(isinstance(measured, OperatorMeasurement) for _, measured, _ in judged)
    operators_taken = sum(isinstance(measured, OperatorMeasurement) for measured in taken)
    return Intake(
        operators=of_operators,
        operators_taken=operators_taken,
        networks=len(judged) - of_operators,
        networks_taken=len(taken) - operators_taken,
        quarantined=tuple(
            QuarantinedRead(what=_label(measured), device=device, reason=reason)
            for device, measured, reason in judged
            if reason
        ),
    )


def _label(measured: OperatorMeasurement | NetworkMeasurement) -> str:
    if isinstance(measured, NetworkMeasurement):
        return measured.name
    return measured.spec.label()
