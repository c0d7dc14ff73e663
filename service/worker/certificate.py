"""The certificate of a search: what was promised, what was measured, and on what."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from sqlalchemy.orm import Session

from service.jobs.job_devices import search_devices
from service.jobs.use_cases import get_job
from service.lifecycle import JobKind
from service.tables.job import JobRow
from service.worker.control_lines import collect_controls, is_control
from service.worker.device_results import DeviceResult, collect_results
from service.worker.flow import Flow
from service.worker.front_lines import collect_front, front_summary, is_candidate
from service.worker.stage_results import measurement_name, read_result
from service.worker.stages import COMPRESS_STAGE
from service.worker.tries import Tries, load_tries, verified_units

FORMAT = "edgewright-certificate/1"
# Of what a compression says: all else is in a certificate anyway.
_COMPRESSED = (
    "parent",
    "accuracy_lost",
    "density",
    "predicted_speedup",
    "mask_rule",
    "distillation",
)
_PACKAGES = ("edgewright", "torch", "onnx", "onnxruntime", "numpy")


@dataclass(frozen=True, kw_only=True)
class CertificateFacts:
    """Everything that a certificate is made of; nothing in it is a constant."""

    issued_at: str
    job: JobRow
    devices: list[DeviceResult]  # the job's own first
    trained: dict[str, Any]
    genotype: dict[str, Any]  # the network that was found
    regret: dict[str, Any] | None  # what each device alone could have; None: there is one
    other_measurements: dict[str, Tries]  # by name, in the order of asking
    controls: dict[str, Any] | None  # what it had to beat; None: not asked for
    front: dict[str, Any] | None  # networks to choose from; None: not asked for
    compression: dict[str, Any] | None  # the dense network and what became of it; None: a search

    @classmethod
    def collect(cls, session: Session, flow: Flow, number: int) -> "CertificateFacts":
        """Read the facts of a job whose last round was `number`."""
        job = get_job(session, flow.job_id)
        units = verified_units(session, job.id)
        stages = {name: read_result(flow, number, name) for name in ("derive", "export")}
        measurements = {
            name: load_tries(session, unit_ids)
            for name, unit_ids in units.items()
            if not (is_control(name) or is_candidate(name))
        }
        devices = search_devices(session, job)
        results = collect_results(session, devices, number, stages, measurements)
        told = {
            measurement_name(number, what, one.place)
            for what in ("model", "comparison")
            for one in devices
        }
        return cls(
            issued_at=flow.context.clock().isoformat(),
            job=job,
            devices=results,
            trained=read_result(flow, number, "train"),
            genotype=stages["export"]["genotype"],
            regret=stages["derive"].get("regret"),
            other_measurements={
                name: found for name, found in measurements.items() if name not in told
            },
            controls=collect_controls(session, flow, job, number, units),
            front=collect_front(session, flow, job, number, units),
            compression=_collect_compression(flow, job, number),
        )

    @property
    def met(self) -> bool:
        """Whether the budget of every device is kept, as measured."""
        return all(result.met for result in self.devices)

    def verdict(self) -> str:
        """Return a text for people."""
        if len(self.devices) == 1:
            return self.devices[0].verdict()
        return "; ".join(f"{one.own.device.name}: {one.verdict()}" for one in self.devices)


def _collect_compression(flow: Flow, job: JobRow, number: int) -> dict[str, Any] | None:
    """Return what a certificate says of the network that was given; None where one was searched."""
    if job.kind != JobKind.COMPRESS:
        return None
    found = read_result(flow, number, COMPRESS_STAGE)
    given = {name: job.request[name] for name in ("network", "width")}
    return given | {name: found[name] for name in _COMPRESSED}


def certificate(facts: CertificateFacts, libraries: dict[str, str]) -> dict[str, Any]:
    """Return the certificate as plain values.

    What it says of the job's own device is on top, of every other device in `also`; `met` and
    `verdict` on top are about all of them.

    Args:
        facts: of the job.
        libraries: digest of the operator library that is delivered, by id of the device.
    """
    own, *others = (result.to_dict(libraries) for result in facts.devices)
    if facts.compression is not None:  # what it derives is the dense network: see `parent`
        own["predicted_before_training"] = None
    return own | {
        "format": FORMAT,
        "job_id": facts.job.id,
        "issued_at": facts.issued_at,
        "met": facts.met,
        "verdict": facts.verdict(),
        "also": others,
        "regret": facts.regret,
        "controls": facts.controls,
        "front": front_summary(facts.front),
        "compression": facts.compression,
        "other_measurements": {
            name: found.summary() for name, found in facts.other_measurements.items()
        },
        "accuracy": facts.trained["accuracy"],
        "test_images": facts.trained["test_images"],
        "training": {
            name: value
            for name, value in facts.trained.items()
            if name not in ("accuracy", "test_images")
        },
        "genotype": facts.genotype,
        "request": facts.job.request,
        "seed": facts.job.request["seed"],
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
