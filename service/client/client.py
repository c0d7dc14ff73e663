"""Client: the service from Python, one method for each thing that it can do."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from search.space.genotype import Genotype
from service.access.schemas import EnrolmentRead
from service.artifacts.schemas import ArtifactRead
from service.client.connection import find_connection
from service.client.download import download
from service.client.events import Event, job_events
from service.client.transport import Transport
from service.datasets.schemas import DatasetRead
from service.devices.schemas import DeviceRead
from service.jobs.schemas import CandidateRead, JobRead
from service.lifecycle import FINAL_JOB_STATES, JobState
from service.profiling.schemas import (
    OperatorRead,
    PlanRead,
    PredictionRead,
    TableDetailRead,
    TableRead,
    WithdrawalRead,
)


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
        """Return what a device measured and no table uses, with reasons, newest first."""
        found = self._transport.get("/v1/operators", {"device": device, "quarantined": True})
        return [OperatorRead.model_validate(row) for row in found]

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

    def predict(self, device: str, genotype: Genotype, dataset: str = "digits") -> PredictionRead:
        """Return the latency that the device's table gives for a network."""
        body = {"device": device, "dataset": dataset, "genotype": genotype.to_dict()}
        return PredictionRead.model_validate(self._transport.post("/v1/predictions", body))

    def search(self, device: str, budget_ms: float, **order: Any) -> JobRead:
        """Start a search; the other fields are those of `SearchCreate`."""
        body = {"device": device, "budget_ms": budget_ms} | order
        return JobRead.model_validate(self._transport.post("/v1/searches", body))

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
        """Return the networks that a search has found."""
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
