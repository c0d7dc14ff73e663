"""/v1/artifacts: files in, and out again by their digest: the bytes, never other ones."""

import base64
from tempfile import SpooledTemporaryFile

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from service.access.policy import AnyReader, Operator
from service.access.tokens import TokenKind
from service.artifacts import use_cases
from service.artifacts.schemas import ArtifactRead
from service.artifacts.store import ArtifactStore, StoredFile, iterate_and_close
from service.context import AppContext, Context
from service.devices.use_cases import may_read_artifact
from service.errors import NotFoundError
from service.shapes import Sha256

UPLOADS = "/v1/artifacts"
_BINARY = "application/octet-stream"
_IN_MEMORY = 1024 * 1024  # bytes of a file that arrives; more of it goes to the disk at once

router = APIRouter(prefix=UPLOADS, tags=["artifacts"])


@router.post("", status_code=201)
async def store_artifact(context: Context, _principal: Operator, request: Request) -> ArtifactRead:
    """Store the body as it is, such as an ONNX model to compress or to time; again: no change."""
    with SpooledTemporaryFile(max_size=_IN_MEMORY) as received:
        async for part in request.stream():
            await run_in_threadpool(received.write, part)
        received.seek(0)
        stored = await run_in_threadpool(_store, context, received)
    return ArtifactRead(name="", sha256=stored.sha256, size=stored.size, media_type=_BINARY)


def _store(context: AppContext, received: "SpooledTemporaryFile[bytes]") -> StoredFile:
    stored = ArtifactStore(context.settings.artifacts_dir).add(iterate_and_close(received))
    with context.database.transaction() as session:
        use_cases.record_artifact(session, stored, media_type=_BINARY, now=context.clock())
    return stored


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
