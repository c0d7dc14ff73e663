"""JSON shapes of artifacts."""

from service.shapes import ReadShape


class ArtifactRead(ReadShape):
    """A file of a job; fetch it from /v1/artifacts/{sha256}."""

    name: str
    sha256: str
    size: int
    media_type: str
