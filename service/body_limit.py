"""Receives request bodies before the application sees them: bounded in size and in time.

Pure ASGI. The framework would read a body of any size, and the server waits for one for ever. Bodies
are received whole, before anybody is asked who sends them. Those of a few paths are files, too large
for that: they are counted while the application reads them, which it does for callers that it knows.
"""

import asyncio
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import framework_problem


class BodyLimit:
    """Refuses bodies that are too large (413), too slow (408) or compressed (415)."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_bytes: int,
        timeout_s: float,
        files: Mapping[str, int] | None = None,
    ) -> None:
        """`files`: the most bytes of a body that the application reads itself, by path."""
        self._app = app
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._files = files or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        headers = _headers(scope) if scope["type"] == "http" else {}
        if not (b"content-length" in headers or b"transfer-encoding" in headers):
            await self._app(scope, receive, send)
            return
        of_file = self._files.get(scope.get("path", ""))
        status = self._refusal(headers, of_file or self._max_bytes)
        if status is None and of_file is not None:
            await self._app(scope, _counted(receive, of_file, self._timeout_s), send)
            return
        body = b""
        if status is None:
            status, body = await self._receive(receive)
        if status is None:
            await self._app(scope, _replay(body, receive), send)
            return
        answer = framework_problem(status, _DETAILS[status], {"Connection": "close"})
        await answer(scope, receive, send)

    def _refusal(self, headers: Mapping[bytes, bytes], max_bytes: int) -> int | None:
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            return 415
        length = headers.get(b"content-length", b"0")
        return 413 if not length.isdigit() or int(length[:20]) > max_bytes else None

    async def _receive(self, receive: Receive) -> tuple[int | None, bytes]:
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    message = await receive()
                    part = message.get("body", b"")
                    size += len(part)
                    if size > self._max_bytes:
                        return 413, b""
                    parts.append(part)
                    if not message.get("more_body", False):
                        return None, b"".join(parts)
        except TimeoutError:
            return 408, b""


_DETAILS = {
    408: "The request body did not arrive in time.",
    413: "The request body is larger than this service accepts.",
    415: "Compressed request bodies are not accepted.",
}


def _headers(scope: Scope) -> dict[bytes, bytes]:
    return dict(scope["headers"])


def _counted(receive: Receive, max_bytes: int, timeout_s: float) -> Receive:
    """Return the same messages; too many bytes, or silence for too long, end whoever reads them.

    A file may be as large as a slow line needs long for: only how long a part takes is bounded.
    """
    size = 0
    ended = False

    async def counted() -> Message:
        nonlocal size, ended
        if ended:
            return await receive()
        try:
            async with asyncio.timeout(timeout_s):
                message = await receive()
        except TimeoutError:
            raise _refused(408) from None
        size += len(message.get("body", b""))
        if size > max_bytes:
            raise _refused(413)
        ended = not message.get("more_body", False)
        return message

    return counted


def _refused(status: int) -> HTTPException:
    return HTTPException(status, _DETAILS[status], {"Connection": "close"})


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a receive that gives the whole body once, then what the connection says."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
