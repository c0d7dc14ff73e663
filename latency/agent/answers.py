"""Reading answers: what is the service's own word, what is a proxy's, and what each one means."""

from dataclasses import dataclass
from typing import TypeVar

from latency import codec
from latency.agent.errors import (
    AccessRevokedError,
    AgentError,
    LeaseLostError,
    RefusedError,
    UnreachableError,
)
from latency.agent.retry import parse_retry_after

T = TypeVar("T")

BODY_TOO_LARGE = 413
ACCESS_STATUSES = (401, 403)
GONE_STATUSES = (404, 410)
PROBLEM_TYPE = "application/problem+json"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An HTTP answer without the HTTP library."""

    status: int
    body: bytes
    content_type: str = ""
    retry_after: str | None = None

    @property
    def is_success(self) -> bool:
        """Return whether the status is 2xx. A redirect is not followed and no success."""
        return 200 <= self.status < 300


@dataclass(frozen=True, kw_only=True)
class ProblemBody:
    """What the agent reads of an RFC 9457 problem detail; the rest is for people."""

    code: str
    retryable: bool
    detail: str = ""
    discard: bool = False


def parse(answer: Answer, kind: type[T]) -> T:
    """Return the body of a success as `kind`.

    Raises:
        UnreachableError: it is not; perhaps a proxy's page, perhaps a server of another version.
    """
    try:
        return codec.decode(answer.body, kind)
    except ValueError as error:
        raise UnreachableError(f"the answer is not from an edgewright server: {error}") from error


def complaint(answer: Answer, *, on_lease: bool) -> AgentError:
    """Return the error that `answer`, which is no success, means; see service_api's retry rule."""
    problem = _problem(answer)
    if problem is None:
        if answer.status == BODY_TOO_LARGE:
            return RefusedError(
                status=answer.status, code="body-too-large", detail="a proxy refused it"
            )
        return UnreachableError(
            f"status {answer.status} without a problem detail, so not from an edgewright server",
            retry_after_s=parse_retry_after(answer.retry_after),
        )
    if problem.retryable:
        return UnreachableError(
            f"{problem.detail or 'busy'} ({answer.status} {problem.code})",
            retry_after_s=parse_retry_after(answer.retry_after),
        )
    return _refusal(answer.status, problem, on_lease=on_lease)


def _refusal(status: int, problem: ProblemBody, *, on_lease: bool) -> RefusedError:
    kind = RefusedError
    if status in ACCESS_STATUSES:
        kind = AccessRevokedError
    elif on_lease and _is_lease_lost(status, problem):
        kind = LeaseLostError
    discard = problem.discard or problem.code == "lease-superseded"
    return kind(status=status, code=problem.code, detail=problem.detail, discard=discard)


def _is_lease_lost(status: int, problem: ProblemBody) -> bool:
    return problem.discard or status in GONE_STATUSES or problem.code.startswith("lease-")


def _problem(answer: Answer) -> ProblemBody | None:
    if answer.content_type.partition(";")[0].strip().lower() != PROBLEM_TYPE:
        return None
    try:
        return codec.decode(answer.body, ProblemBody)
    except ValueError:
        return None
