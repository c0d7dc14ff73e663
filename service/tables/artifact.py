"""ArtifactRow and JobArtifactRow: files in the content-addressed store, and whose they are."""

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from service.tables.base import Digest, Id, Name, Row, Time


class ArtifactRow(Row):
    """A file that is in the store, durably."""

    __tablename__ = "artifacts"

    sha256: Mapped[Digest] = mapped_column(primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)  # bytes
    media_type: Mapped[Name]
    created_at: Mapped[Time]


class JobArtifactRow(Row):
    """A named file of a job."""

    __tablename__ = "job_artifacts"

    job_id: Mapped[Id] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    name: Mapped[Name] = mapped_column(primary_key=True)  # such as model.onnx
    sha256: Mapped[Digest] = mapped_column(ForeignKey("artifacts.sha256"), index=True)
