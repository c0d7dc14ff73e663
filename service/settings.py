"""All settings of the service, typed, with one prefix: EDGEWRIGHT_."""

from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")


class Settings(BaseSettings):
    """Settings of every process of the service; each can be set as EDGEWRIGHT_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="EDGEWRIGHT_", extra="ignore", frozen=True)

    data_dir: Annotated[
        Path, Field(description="folder for the embedded database, artifacts and checkpoints")
    ] = Path(".edgewright")
    database_url: Annotated[
        str,
        Field(
            description="sqlite:///FILE or postgresql+psycopg://...; empty: a file in data_dir",
        ),
    ] = ""
    host: Annotated[str, Field(description="address that the API listens on")] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65_535, description="port that the API listens on")] = 8712

    lease_seconds: Annotated[
        float, Field(gt=0, description="a device that is silent this long loses its work unit")
    ] = 60.0
    heartbeat_seconds: Annotated[
        float, Field(gt=0, description="how often a device with work says that it is alive")
    ] = 15.0
    poll_seconds: Annotated[
        float, Field(gt=0, description="how long an idle device waits before it asks again")
    ] = 2.0
    last_seen_seconds: Annotated[
        float, Field(ge=0, description="a device's last_seen_at is at most this much out of date")
    ] = 30.0
    max_attempts: Annotated[
        int, Field(ge=1, description="attempts at a work unit before it has failed")
    ] = 3
    enrolment_seconds: Annotated[
        float, Field(gt=0, description="life of a single-use enrolment token")
    ] = 3600.0

    worker_lease_seconds: Annotated[
        float, Field(gt=0, description="a worker on another host that is silent this long is dead")
    ] = 90.0

    max_body_bytes: Annotated[
        int, Field(ge=1024, description="largest request body; more is refused with 413")
    ] = 8 * 1024 * 1024
    max_file_bytes: Annotated[
        int, Field(ge=1024, description="largest file, such as an ONNX model, that may be stored")
    ] = 256 * 1024 * 1024
    body_timeout_seconds: Annotated[
        float, Field(gt=0, description="a request body must have arrived after this time")
    ] = 60.0
    max_connections: Annotated[
        int, Field(ge=1, description="database connections that one process may open")
    ] = 40
    dataset_roots: Annotated[
        tuple[Path, ...],
        Field(description="folders below which data sets may be registered; empty: anywhere"),
    ] = ()

    @cached_property
    def sqlalchemy_url(self) -> str:
        """URL of the database: the one that was set, or the file in the data folder."""
        if self.database_url:
            return self.database_url
        return f"sqlite:///{self.data_dir.absolute() / 'edgewright.db'}"

    @property
    def artifacts_dir(self) -> Path:
        """Folder of the content-addressed store."""
        return self.data_dir.absolute() / "artifacts"

    @property
    def work_dir(self) -> Path:
        """Folder of the trainers' checkpoints, one below it for each job."""
        return self.data_dir.absolute() / "work"

    @property
    def admin_token_file(self) -> Path:
        """File with the token of the embedded mode, readable by its owner only."""
        return self.data_dir.absolute() / "admin-token"

    @property
    def is_embedded(self) -> bool:
        """Whether everything runs on this machine: SQLite, and nobody else can connect."""
        return self.sqlalchemy_url.startswith("sqlite") and self.host in LOOPBACK_HOSTS

    def prepare_data_dir(self) -> None:
        """Create the data folder, closed to other users, where it does not exist."""
        self.data_dir.absolute().mkdir(mode=0o700, parents=True, exist_ok=True)
