"""The certificate of a search: what was promised, what was measured, and on what."""

import statistics
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from sqlalchemy.orm import Session

from latency import codec
from latency.estimate.ratio import speed_up
from latency.measurement import NetworkMeasurement
from latency.units import ns_to_ms
from service.devices.use_cases import Device, get_device
from service.jobs.use_cases import get_job
from service.tables.job import JobRow
from service.tables.latency_table import LatencyTableRow
from service.worker.control_lines import collect_controls, is_control
from service.worker.flow import Flow
from service.worker.front_lines import collect_front, front_summary, is_candidate
from service.worker.stage_results import read_result
from service.worker.tries import Tries, load_tries, verified_units

_COMPARED = (
    "timed run by run in turns in the same processes, for the ratio; each costs the others caches, "
    "so `latency_ms` is above that of `measured`, where the file ran alone and which counts"
)
FORMAT = "edgewright-certificate/1"
_PACKAGES = ("edgewright", "torch", "onnx", "onnxruntime", "numpy")


@dataclass(frozen=True, kw_only=True)
class CertificateFacts:
    """Everything that a certificate is made of; nothing in it is a constant."""

    issued_at: str
    job: JobRow
    device: Device
    table: LatencyTableRow
    derived: dict[str, Any]
    trained: dict[str, Any]
    exported: dict[str, Any]
    measurements: dict[str, Tries]  # by name, in the order in which they were made
    model_measurement: str  # the name of the one that counts
    comparison: str  # ... and of the one in turns with the network's rivals
    controls: dict[str, Any] | None  # what it had to beat; None: not asked for
    front: dict[str, Any] | None  # networks to choose from; None: not asked for
    library_sha256: str | None = None  # of the operator library that is delivered with the file

    @property
    def genotype(self) -> dict[str, Any]:
        """The network that was found."""
        genotype: dict[str, Any] = self.exported["genotype"]
        return genotype

    @classmethod
    def collect(cls, session: Session, flow: Flow, number: int) -> "CertificateFacts":
        """Read the facts of a job whose last round was `number`."""
        job = get_job(session, flow.job_id)
        units = verified_units(session, job.id)
        return cls(
            issued_at=flow.context.clock().isoformat(),
            job=job,
            device=get_device(session, str(job.device_id)),
            table=session.get_one(LatencyTableRow, job.table_id),
            derived=read_result(flow, number, "derive"),
            trained=read_result(flow, number, "train"),
            exported=read_result(flow, number, "export"),
            measurements={
                name: load_tries(session, unit_ids)
                for name, unit_ids in units.items()
                if not (is_control(name) or is_candidate(name))
            },
            model_measurement=model_name(number),
            comparison=comparison_name(number),
            controls=collect_controls(session, flow, job, number, units),
            front=collect_front(session, flow, job, number, units),
        )


def certificate(facts: CertificateFacts) -> dict[str, Any]:
    """Return the certificate as plain values."""
    measured = facts.measurements[facts.model_measurement].summary()
    budget_ms = float(facts.job.request["budget_ms"])
    met = measured["latency_ms"] <= budget_ms
    return {
        "format": FORMAT,
        "job_id": facts.job.id,
        "issued_at": facts.issued_at,
        "budget_ms": budget_ms,
        "met": met,
        "verdict": _verdict(measured["latency_ms"], budget_ms),
        "measured": measured,
        "regime": facts.exported["regime"],
        "operator_library": {
            "version": facts.device.target.operator_library,
            "sha256": facts.library_sha256,
        },
        "compared": _compared(facts.measurements[facts.comparison].together),
        "controls": facts.controls,
        "front": front_summary(facts.front),
        "predicted": facts.exported["prediction"],
        "predicted_before_training": facts.derived["prediction"],
        "other_measurements": {
            name: found.summary()
            for name, found in facts.measurements.items()
            if name not in (facts.model_measurement, facts.comparison)
        },
        "accuracy": facts.trained["accuracy"],
        "test_images": facts.trained["test_images"],
        "training": _without(facts.trained, "accuracy", "test_images"),
        "export": _without(
            facts.exported, "graph", "dense_parent", "path", "genotype", "prediction"
        ),
        "genotype": facts.genotype,
        "table": {
            "id": facts.table.id,
            "version": facts.table.version,
            "operators": facts.table.operators,
            "calibration": facts.table.calibration,
            "published_error": facts.table.error,
            "library_calibration": facts.table.library_calibration,
            "library_published_error": facts.table.library_error,
        },
        "device": {
            "id": facts.device.id,
            "name": facts.device.name,
            "target": codec.to_plain(facts.device.target),
            "target_fingerprint": facts.device.target.fingerprint,
        },
        "request": facts.job.request,
        "seed": facts.job.request["seed"],
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def graph_name(number: int) -> str:
    """Return the name of the measurement of the derived network of a round."""
    return f"round-{number}-graph"


def model_name(number: int) -> str:
    """Return the name of the measurement of the file of a round."""
    return f"round-{number}-model"


def comparison_name(number: int) -> str:
    """Return the name of the measurement of the file of a round beside its rivals."""
    return f"round-{number}-comparison"


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


def _verdict(latency_ms: float, budget_ms: float) -> str:
    share = latency_ms / budget_ms
    if latency_ms <= budget_ms:
        return f"met: {latency_ms:.4f} ms measured, {share:.1%} of the budget of {budget_ms:g} ms"
    return f"not met: {latency_ms:.4f} ms measured, {share - 1:.1%} over the budget of {budget_ms:g} ms"


def _without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
