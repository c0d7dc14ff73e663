"""What a certificate states of one device: what was promised there, and what was measured."""

import statistics
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.orm import Session

from latency import codec
from latency.estimate.ratio import speed_up
from latency.measurement import NetworkMeasurement
from latency.units import ns_to_ms
from service.jobs.job_devices import SearchDevice
from service.tables.latency_table import LatencyTableRow
from service.worker.stage_results import measurement_name, of_place
from service.worker.tries import Tries

_COMPARED = (
    "timed run by run in turns in the same processes, for the ratio; each costs the others caches, "
    "so `latency_ms` is above that of `measured`, where the file ran alone and which counts"
)


@dataclass(frozen=True, kw_only=True)
class DeviceResult:
    """What is known of the network on one device that it is for."""

    own: SearchDevice
    table: LatencyTableRow
    derived: dict[str, Any]  # what derive and export say of the device
    exported: dict[str, Any]
    model: Tries  # at the measurement that counts
    comparison: Tries  # ... and at the one in turns with the network's rivals

    @property
    def latency_ms(self) -> float:
        """What was measured."""
        return ns_to_ms(self.model.together.median_ns)

    @property
    def met(self) -> bool:
        """Whether the budget is kept, as measured."""
        return self.latency_ms <= self.own.budget_ms

    def verdict(self) -> str:
        """Return a text for people."""
        budget_ms, share = self.own.budget_ms, self.latency_ms / self.own.budget_ms
        measured = f"{self.latency_ms:.4f} ms measured"
        if self.met:
            return f"met: {measured}, {share:.1%} of the budget of {budget_ms:g} ms"
        return f"not met: {measured}, {share - 1:.1%} over the budget of {budget_ms:g} ms"

    def to_dict(self, libraries: dict[str, str]) -> dict[str, Any]:
        """Return plain JSON values.

        Args:
            libraries: digest of the operator library that is delivered, by id of the device.
        """
        device, table = self.own.device, self.table
        return {
            "budget_ms": self.own.budget_ms,
            "met": self.met,
            "verdict": self.verdict(),
            "measured": self.model.summary(),
            "regime": self.exported["regime"],
            "operator_library": {
                "version": device.target.operator_library,
                "sha256": libraries.get(device.id),
            },
            "compared": _compared(self.comparison.together),
            "predicted": self.exported["prediction"],
            "predicted_before_training": self.derived["prediction"],
            "export": _without(
                self.exported, "graph", "dense_parent", "path", "genotype", "prediction", "also"
            ),
            "file": self.exported["path"],
            "table": {
                "id": table.id,
                "version": table.version,
                "operators": table.operators,
                "calibration": table.calibration,
                "published_error": table.error,
                "library_calibration": table.library_calibration,
                "library_published_error": table.library_error,
            },
            "device": {
                "id": device.id,
                "name": device.name,
                "target": codec.to_plain(device.target),
                "target_fingerprint": device.target.fingerprint,
            },
        }


def collect_results(
    session: Session,
    devices: list[SearchDevice],
    number: int,
    stages: dict[str, dict[str, Any]],
    measurements: dict[str, Tries],
) -> list[DeviceResult]:
    """Return what is known on each device.

    Args:
        session: of the database.
        devices: of the job, in order.
        number: of the last round.
        stages: what derive and export wrote in it.
        measurements: of the job, by name.
    """
    return [
        DeviceResult(
            own=own,
            table=session.get_one(LatencyTableRow, own.table_id),
            derived=of_place(stages["derive"], own.place),
            exported=of_place(stages["export"], own.place),
            model=measurements[measurement_name(number, "model", own.place)],
            comparison=measurements[measurement_name(number, "comparison", own.place)],
        )
        for own in devices
    ]


def _compared(measured: NetworkMeasurement) -> dict[str, Any]:
    """Return latencies taken in turns in the same processes, and how much faster the file is."""
    rivals = {
        "dense_parent": measured.dense_parent_ns,
        "without_library": measured.without_library_ns,
    }
    return {"method": _COMPARED, "latency_ms": ns_to_ms(measured.median_ns)} | {
        name: _rival(measured, samples) for name, samples in rivals.items() if samples
    }


def _rival(measured: NetworkMeasurement, samples: tuple[tuple[int, ...], ...]) -> dict[str, Any]:
    medians = [float(statistics.median(process)) for process in samples]
    faster = speed_up(measured.processes_ns, samples)
    return {
        "latency_ms": ns_to_ms(statistics.median(medians)),
        "speed_up": None if faster is None else asdict(faster),
    }


def _without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}
