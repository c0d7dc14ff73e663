"""Client: the service from Python, one method for each thing that it can do."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from latency import codec
from latency.exchange.document import from_document
from latency.exchange.profile_file import PLAN
from latency.exchange.table_file import TableFile, table_of_document, write_table
from latency.files import write_atomic
from latency.messages import ProfileWork
from latency.report.values import TableDifference, TableReport
from search.space.networks import AnyGenotype
from service.access.schemas import EnrolmentRead
from service.artifacts.schemas import ArtifactRead
from service.client.connection import find_connection
from service.client.download import download
from service.client.events import Event, job_events
from service.client.transport import Transport
from service.datasets.schemas import DatasetRead
from service.devices.schemas import DeviceRead
from service.jobs.schemas import CandidateRead, ImportRead, JobRead
from service.lifecycle import FINAL_JOB_STATES, JobState
from service.profiling.schemas import (
    OperatorRead,
    PlanRead,
    PredictionRead,
    TableDetailRead,
    TableRead,
    WithdrawalRead,
)
from service.shapes import ID_PATTERN

_PAGE = 200  # entries that the service returns at most


class Client:
    """Talks to one server. Address and token are found as `find_connection` says.

    Every method raises a subclass of `ApiError` where the service refuses.
    """

    def __init__(
        self, url: str | None = None, token: str | None = None, *, attempts: int = 5
    ) -> None:
        self._transport = Transport(find_connection(url, token), attempts=attempts)

    @property
    def url(self) -> str:
        """Address of the server."""
        return self._transport.url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def is_ready(self) -> bool:
        """Return whether the server serves; an error where it refuses for good."""
        return bool(self._transport.get("/readyz")["status"] == "ready")

    def enrol(self) -> EnrolmentRead:
        """Make a token with which one device can enrol, once."""
        return EnrolmentRead.model_validate(self._transport.post("/v1/enrolments"))

    def devices(self) -> list[DeviceRead]:
        """Return the enrolled devices."""
        return [DeviceRead.model_validate(found) for found in self._transport.get("/v1/devices")]

    def device(self, device_id: str) -> DeviceRead:
        """Return one device."""
        return DeviceRead.model_validate(self._transport.get(f"/v1/devices/{device_id}"))

    def quarantined(self, device: str) -> list[OperatorRead]:
        """Return all that a device measured and no table uses, with reasons, newest first."""
        asked = {"device": device, "quarantined": True, "limit": _PAGE}
        rows: list[OperatorRead] = []
        while True:
            page = self._transport.get("/v1/operators", asked | {"offset": len(rows)})
            rows += [OperatorRead.model_validate(row) for row in page]
            if len(page) < _PAGE:
                return rows

    def withdraw(self, device: str) -> WithdrawalRead:
        """Use nothing any more that a device has measured; returns what rested on it."""
        return WithdrawalRead.model_validate(
            self._transport.post(f"/v1/devices/{quote(device, safe='')}/withdrawal")
        )

    def datasets(self) -> list[DatasetRead]:
        """Return the data sets."""
        return [DatasetRead.model_validate(found) for found in self._transport.get("/v1/datasets")]

    def register_dataset(
        self, name: str, form: str, path: str, image_size: int | None = None
    ) -> DatasetRead:
        """Register a data set by its path on the server."""
        body = {"name": name, "format": form, "path": path, "image_size": image_size}
        return DatasetRead.model_validate(self._transport.post("/v1/datasets", body))

    def plan(self, device: str, **space: Any) -> PlanRead:
        """Return what a device still has to measure for a space, and the minutes it costs."""
        return PlanRead.model_validate(
            self._transport.post("/v1/plans", {"device": device} | space)
        )

    def tables(self, device: str | None = None) -> list[TableRead]:
        """Return the versions of tables, newest first."""
        found = self._transport.get("/v1/tables", {"device": device})
        return [TableRead.model_validate(table) for table in found]

    def table(self, table_id: str) -> TableDetailRead:
        """Return a version of a table with its rows."""
        return TableDetailRead.model_validate(self._transport.get(f"/v1/tables/{table_id}"))

    def find_table(self, table: str) -> TableRead:
        """Return the table with this id, or else the newest one in use of the device with this name.

        Raises:
            ValueError: the device has no table yet, or all were withdrawn.
        """
        if re.fullmatch(ID_PATTERN, table):
            return TableRead.model_validate(self._transport.get(f"/v1/tables/{table}"))
        found = self.tables(table)
        if not found:
            raise ValueError(f"device {table} has no table yet: `edgewright profile` makes one")
        in_use = [one for one in found if one.withdrawn_at is None]
        if not in_use:
            raise ValueError(
                f"every table of device {table} was withdrawn: `edgewright tables --device {table}` "
                "lists them with their ids, `edgewright profile` makes a new one"
            )
        return in_use[0]

    def report(self, table_id: str, **space: Any) -> TableReport:
        """Return how right a table is; `dataset`, `channels`... name a space to compare it with."""
        body = self._transport.get_bytes(f"/v1/tables/{table_id}/report", space)
        return codec.decode(body, TableReport)

    def difference(self, before_id: str, after_id: str) -> TableDifference:
        """Return what is different in the second table."""
        path = f"/v1/tables/{after_id}/diff"
        return codec.decode(
            self._transport.get_bytes(path, {"against": before_id}), TableDifference
        )

    def export_table(self, table_id: str, path: str | Path) -> TableFile:
        """Store a table with its raw samples at `path`, checked by its own checksum."""
        file = self.table_file(table_id)
        write_table(Path(path), file)
        return file

    def table_file(self, table_id: str) -> TableFile:
        """Return a table with its raw samples."""
        return table_of_document(self._transport.get_bytes(f"/v1/tables/{table_id}/export"))

    def import_table(self, path: str | Path) -> ImportRead:
        """Send an exported table; needs an administrator's token."""
        body = Path(path).read_bytes()
        return ImportRead.model_validate(self._transport.post_bytes("/v1/tables/import", body))

    def import_profile(self, path: str | Path, device: str) -> ImportRead:
        """Send what a device measured offline; needs an administrator's token."""
        found = self._transport.post_bytes(
            "/v1/profiles/import", Path(path).read_bytes(), {"device": device}
        )
        return ImportRead.model_validate(found)

    def plan_file(self, path: str | Path, device: str, **space: Any) -> ProfileWork:
        """Store what a device still has to measure at `path`, for `edgewright-agent measure`."""
        body = self._transport.post_for_bytes("/v1/plans/file", {"device": device} | space)
        work = from_document(body, PLAN, ProfileWork)
        write_atomic(Path(path), body)
        return work

    def predict(
        self, device: str, genotype: AnyGenotype, dataset: str = "digits"
    ) -> PredictionRead:
        """Return the latency that the device's table gives for a network."""
        body = {"device": device, "dataset": dataset, "genotype": genotype.to_dict()}
        return PredictionRead.model_validate(self._transport.post("/v1/predictions", body))

    def search(self, device: str, budget_ms: float, **order: Any) -> JobRead:
        """Start a search; the other fields are those of `SearchCreate`."""
        body = {"device": device, "budget_ms": budget_ms} | order
        return JobRead.model_validate(self._transport.post("/v1/searches", body))

    def compress(self, device: str, budget_ms: float, network: str, **order: Any) -> JobRead:
        """Fit a network to a budget: a built-in one by its name, or a stored ONNX file by its digest.

        The other fields are those of `CompressionCreate`.
        """
        body = {"device": device, "budget_ms": budget_ms, "network": network} | order
        return JobRead.model_validate(self._transport.post("/v1/compressions", body))

    def upload(self, path: str | Path) -> ArtifactRead:
        """Store a file, such as an ONNX model, on the server; again: no change."""
        found = self._transport.post_bytes("/v1/artifacts", Path(path).read_bytes())
        return ArtifactRead.model_validate(found)

    def profile(self, device: str, **order: Any) -> JobRead:
        """Measure what the table of a device lacks; fields as in `ProfileCreate`."""
        return JobRead.model_validate(
            self._transport.post("/v1/profiles", {"device": device} | order)
        )

    def verify(self, device: str, artifact_sha256: str, **order: Any) -> JobRead:
        """Measure a stored ONNX file on a device; fields as in `VerificationCreate`."""
        body = {"device": device, "artifact_sha256": artifact_sha256} | order
        return JobRead.model_validate(self._transport.post("/v1/verifications", body))

    def jobs(self, state: JobState | None = None, limit: int = 50) -> list[JobRead]:
        """Return the jobs, newest first."""
        found = self._transport.get("/v1/jobs", {"state": state, "limit": limit})
        return [JobRead.model_validate(job) for job in found]

    def job(self, job_id: str) -> JobRead:
        """Return one job."""
        return JobRead.model_validate(self._transport.get(f"/v1/jobs/{job_id}"))

    def cancel(self, job_id: str) -> JobRead:
        """Stop a job; it can be resumed."""
        return JobRead.model_validate(self._transport.post(f"/v1/jobs/{job_id}/cancel"))

    def resume(self, job_id: str) -> JobRead:
        """Go on with a cancelled or failed job."""
        return JobRead.model_validate(self._transport.post(f"/v1/jobs/{job_id}/resume"))

    def events(self, job_id: str, after: int = 0) -> Iterator[Event]:
        """Yield what happens to a job until it has ended, through interruptions too."""
        return job_events(self._transport, job_id, after)

    def wait(self, job_id: str, timeout_s: float | None = None) -> JobRead:
        """Return the job when it has ended.

        Raises:
            TimeoutError: it had not ended in time.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while (job := self.job(job_id)).state not in FINAL_JOB_STATES:
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"job {job_id} is still {job.state} after {timeout_s:g} s")
            time.sleep(0.5)
        return job

    def candidates(self, job_id: str) -> list[CandidateRead]:
        """Return the networks that a search has found or a compression made."""
        found = self._transport.get(f"/v1/jobs/{job_id}/candidates")
        return [CandidateRead.model_validate(candidate) for candidate in found]

    def artifacts(self, job_id: str) -> list[ArtifactRead]:
        """Return the files of a job."""
        found = self._transport.get(f"/v1/jobs/{job_id}/artifacts")
        return [ArtifactRead.model_validate(artifact) for artifact in found]

    def download(self, sha256: str, path: str | Path) -> Path:
        """Store an artifact at `path`: whole and verified, or not at all."""
        return download(self._transport, sha256, Path(path))

    def pull(self, job_id: str, folder: str | Path) -> dict[str, Path]:
        """Store all files of a job in `folder`; returns their paths by name."""
        return {
            artifact.name: self.download(artifact.sha256, Path(folder) / Path(artifact.name).name)
            for artifact in self.artifacts(job_id)
        }
