"""Downloads of artifacts: to a temporary file, compared with the digest, then moved into place."""

import hashlib
import os
from pathlib import Path

from service.client.errors import DamagedDownloadError
from service.client.transport import Transport


def download(transport: Transport, sha256: str, path: Path) -> Path:
    """Store the artifact at `path`, whole or not at all.

    Raises:
        DamagedDownloadError: the bytes are not those of the digest.
        NotFoundError: there is no such artifact.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    digest = hashlib.sha256()
    try:
        with transport.stream(f"/v1/artifacts/{sha256}") as response, temporary.open("wb") as file:
            for part in response.iter_bytes():
                digest.update(part)
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != sha256:
            raise DamagedDownloadError(sha256)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
