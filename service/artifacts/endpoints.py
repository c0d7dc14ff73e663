"""GET /v1/artifacts/{sha256}: the bytes, never other ones."""

import base64

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from service.access.policy import AnyReader
from service.access.tokens import TokenKind
from service.artifacts import use_cases
from service.artifacts.store import ArtifactStore, iterate_and_close
from service.context import Context
from service.devices.use_cases import may_read_artifact
from service.errors import NotFoundError
from service.shapes import Sha256

router = APIRouter(prefix="/v1/artifacts", tags=["artifacts"])


@router.get("/{sha256}", response_class=StreamingResponse)
def read_artifact(context: Context, principal: AnyReader, sha256: Sha256) -> StreamingResponse:
    """Return the bytes; an agent may read only what it needs for its work."""
    with context.database.reading() as session:
        found = use_cases.get_artifact(session, sha256)
        if principal.kind is TokenKind.AGENT and not may_read_artifact(
            session, principal.device_id or "", sha256
        ):
            raise NotFoundError("There is no artifact with this digest.")
    file = use_cases.open_artifact(ArtifactStore(context.settings.artifacts_dir), sha256)
    digest = base64.b64encode(bytes.fromhex(sha256)).decode()
    headers = {
        "Content-Digest": f"sha-256=:{digest}:",
        "Content-Length": str(found.size),
        "ETag": f'"{sha256}"',
        "Cache-Control": "private, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(iterate_and_close(file), headers=headers, media_type=found.media_type)
