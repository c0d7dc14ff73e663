"""The only file of the client that does HTTP; the retry rule is stated here.

Retried, with growing pauses: requests that only read, when nothing answers or the service says
503 or 429. A request that changes something is sent once: only its caller knows whether a second
job would do harm.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2

from service.client.connection import Connection
from service.client.errors import ApiError, UnavailableError, UnreachableError, error_of

_TIMEOUT_S = 60.0
_FIRST_PAUSE_S = 0.2


class Transport:
    """Sends requests to one server with one token."""

    def __init__(self, connection: Connection, *, attempts: int) -> None:
        self.url = connection.url
        self._attempts = attempts
        self._http = httpx2.Client(
            base_url=connection.url,
            headers={"Authorization": f"Bearer {connection.token}"},
            timeout=_TIMEOUT_S,
            follow_redirects=False,
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON at `path`."""
        return _json(self._get(path, params))

    def get_bytes(self, path: str, params: Mapping[str, Any] | None = None) -> bytes:
        """Return what is at `path`, as it is."""
        return self._get(path, params).content

    def _get(self, path: str, params: Mapping[str, Any] | None) -> httpx2.Response:
        pause_s = _FIRST_PAUSE_S
        for attempt in range(1, self._attempts + 1):
            try:
                return self._send("GET", path, params=_given(params))
            except (UnreachableError, UnavailableError):
                if attempt == self._attempts:
                    raise
            time.sleep(pause_s)
            pause_s *= 2
        raise AssertionError("the last attempt returns or raises")

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send JSON to `path` and return the answer."""
        return _json(self._send("POST", path, json=dict(body or {})))

    def post_for_bytes(self, path: str, body: Mapping[str, Any]) -> bytes:
        """Send JSON to `path` and return the answer as it is."""
        return self._send("POST", path, json=dict(body)).content

    def post_bytes(self, path: str, body: bytes, params: Mapping[str, Any] | None = None) -> Any:
        """Send a file to `path` and return the answer."""
        return _json(self._send("POST", path, content=body, params=_given(params)))

    @contextmanager
    def stream(
        self, path: str, headers: Mapping[str, str] | None = None
    ) -> Iterator[httpx2.Response]:
        """Give an open answer whose body has not been read yet."""
        try:
            with self._http.stream("GET", path, headers=dict(headers or {})) as response:
                if response.status_code >= 400:
                    response.read()
                    raise _error(response)
                yield response
        except httpx2.TransportError as error:
            raise UnreachableError(self.url, type(error).__name__) from error

    def _send(self, method: str, path: str, **arguments: Any) -> httpx2.Response:
        try:
            response = self._http.request(method, path, **arguments)
        except httpx2.TransportError as error:
            raise UnreachableError(self.url, type(error).__name__) from error
        if response.status_code >= 400:
            raise _error(response)
        return response


def _json(response: httpx2.Response) -> Any:
    return response.json() if response.content else None


def _given(params: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (params or {}).items() if value is not None}


def _error(response: httpx2.Response) -> ApiError:
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    return error_of(response.status_code, problem if isinstance(problem, dict) else {})
