"""The agent's only file that does HTTP: five calls, one download, and the rule of what is retried.

Retry rule. A request is sent again, after a wait with full jitter, when
- no answer came: connection refused, reset, timed out, or closed while idle;
- the answer is a problem detail with `retryable` true (overload, database away), waiting at least
  as long as `Retry-After` says;
- the answer is not the service's: no problem detail in an error, or a success whose body does not
  parse. Captive portals, restarting proxies and half-written answers look like this with any
  status, so the status is not asked; 413 is the exception, for it will not change.
Every other problem detail is final. All calls can be repeated safely: a claim by its claim_id, a
chunk and a finish by their digests; registering is not, and a second try says that the token is
used. Redirects are not followed, so that the token goes to no other host.
"""

import base64
import hashlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, TypeVar
from urllib.parse import quote, urlsplit

import httpx2

from latency import codec
from latency.agent.answers import BODY_TOO_LARGE, Answer, complaint, parse
from latency.agent.errors import RefusedError, UnreachableError
from latency.agent.retry import Patience, repeat
from latency.agent.settings import AgentSettings, agent_version
from latency.messages import (
    Claim,
    ClaimAnswer,
    Finish,
    FinishAnswer,
    Heartbeat,
    HeartbeatAnswer,
    Registered,
    Registration,
)

T = TypeVar("T")

NO_CONTENT = 204


@dataclass(frozen=True, kw_only=True)
class _Call:
    method: str
    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class ServiceApi:
    """The protocol of latency/messages.py over HTTP. The loops' threads may share one.

    Every method raises UnreachableError when patience ran out, StoppedError when the agent shall stop, and
    RefusedError (or AccessRevokedError, LeaseLostError) when the service said no.
    """

    def __init__(self, server: str, token: str, settings: AgentSettings) -> None:
        """Talk to `server` (address without /v1) with a bearer `token`.

        Proxies are those of the environment: HTTPS_PROXY, HTTP_PROXY and NO_PROXY.

        Raises:
            ValueError: no address, or the file with certificates has none.
        """
        self._max_model_bytes = settings.max_model_bytes
        self._client = httpx2.Client(
            base_url=checked_address(server),
            headers={
                "Authorization": f"Bearer {token}",
                "User-Agent": f"edgewright-agent/{agent_version()}",
            },
            verify=trusted_authorities(settings.ca_file),
            timeout=httpx2.Timeout(settings.answer_timeout_s, connect=settings.connect_timeout_s),
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def register(self, registration: Registration, patience: Patience) -> Registered:
        """Enrol this device; the token of this object is the enrolment token."""
        return self._ask("/v1/devices", registration, Registered, patience)

    def claim(self, claim: Claim, patience: Patience) -> ClaimAnswer:
        """Ask for work; repeated with the same `claim_id`, so a lost answer costs nothing."""
        return self._ask("/v1/work/claim", claim, ClaimAnswer, patience)

    def heartbeat(self, lease_id: str, beat: Heartbeat, patience: Patience) -> HeartbeatAnswer:
        """Say that the work goes on."""
        return self._ask(f"{_lease_path(lease_id)}/heartbeat", beat, HeartbeatAnswer, patience)

    def finish(self, lease_id: str, finish: Finish, patience: Patience) -> FinishAnswer:
        """End the attempt."""
        return self._ask(f"{_lease_path(lease_id)}/finish", finish, FinishAnswer, patience)

    def put_chunk(self, lease_id: str, index: int, body: bytes, patience: Patience) -> None:
        """Upload the encoded Chunk number `index`, with its SHA-256 in Content-Digest."""
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        call = _Call(
            method="PUT",
            path=f"{_lease_path(lease_id)}/chunks/{index}",
            body=body,
            headers={"Content-Digest": f"sha-256=:{digest}:"},
        )
        repeat(lambda: self._store(call), patience, "upload")

    def download(self, sha256: str, destination: BinaryIO) -> None:
        """Write the artifact to `destination`; one try.

        Raises:
            UnreachableError: the connection was lost, or the bytes have another digest.
            RefusedError: unknown artifact, or larger than the settings allow.
        """
        try:
            with self._client.stream("GET", f"/v1/artifacts/{quote(sha256, safe='')}") as response:
                if not response.is_success:
                    response.read()
                    raise complaint(_answer(response), on_lease=False)
                found = self._copy(response, destination)
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            raise UnreachableError(_reason(error)) from error
        if found != sha256:
            raise UnreachableError(f"the downloaded bytes have SHA-256 {found}, wanted {sha256}")

    def is_healthy(self) -> bool:
        """Return whether the service answers; one try, for the doctor."""
        try:
            return self._client.get("/healthz").is_success
        except httpx2.TransportError:
            return False

    def _ask(self, path: str, message: object, kind: type[T], patience: Patience) -> T:
        call = _Call(method="POST", path=path, body=codec.encode(message))
        return repeat(lambda: parse(self._send(call), kind), patience, path.rpartition("/")[2])

    def _store(self, call: _Call) -> None:
        # A portal's page with status 200 must not pass for "stored": the service says 204.
        status = self._send(call).status
        if status != NO_CONTENT:
            raise UnreachableError(f"status {status} in answer to an upload, wanted {NO_CONTENT}")

    def _send(self, call: _Call) -> Answer:
        headers = {"Content-Type": "application/json", **call.headers}
        try:
            response = self._client.request(
                call.method, call.path, content=call.body, headers=headers
            )
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            raise UnreachableError(_reason(error)) from error
        answer = _answer(response)
        if not answer.is_success:
            raise complaint(answer, on_lease="/leases/" in call.path)
        return answer

    def _copy(self, response: httpx2.Response, destination: BinaryIO) -> str:
        digest, size = hashlib.sha256(), 0
        for part in response.iter_bytes():
            size += len(part)
            if size > self._max_model_bytes:
                detail = f"the model has more than {self._max_model_bytes} bytes"
                raise RefusedError(status=BODY_TOO_LARGE, code="model-too-large", detail=detail)
            digest.update(part)
            destination.write(part)
        return digest.hexdigest()


def trusted_authorities(ca_file: str) -> ssl.SSLContext:
    """Return what certificates are checked with: the system's authorities, and those of a file.

    Raises:
        ValueError: the file cannot be read, or holds no certificate.
    """
    context = httpx2.create_ssl_context()
    if ca_file:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:  # of which ssl.SSLError is one
            raise ValueError(f"--ca-file {ca_file}: no certificates in it: {error}") from error
    return context


def checked_address(server: str) -> str:
    """Return the base address without a trailing slash.

    Raises:
        ValueError: not http or https, no host, or something behind the path.
    """
    parts = urlsplit(server)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"server: expected an address like https://host:8712, got {server!r}")
    if parts.username is not None:
        raise ValueError("server: the address must not hold a user name or password")
    return server.rstrip("/")


def is_readable_on_the_way(server: str) -> bool:
    """Return whether tokens travel in the clear: http to another machine."""
    parts = urlsplit(server)
    return parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1")


def _lease_path(lease_id: str) -> str:
    return f"/v1/work/leases/{quote(lease_id, safe='')}"


def _answer(response: httpx2.Response) -> Answer:
    return Answer(
        status=response.status_code,
        body=response.content,
        content_type=response.headers.get("Content-Type", ""),
        retry_after=response.headers.get("Retry-After"),
    )


def _reason(error: Exception) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return f"{error}; `join --ca-file FILE` names the authority of a server of your own"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
