"""What the client raises: one class per kind of problem detail.

ApiError
├── UnreachableError         nothing answers at the address
├── UnauthenticatedError     401, 403
├── NotFoundError            404
├── ConflictError            409
├── InvalidError             400, 413, 415, 422
│   └── BudgetInfeasibleError
├── UnavailableError         429, 503: try again later
└── DamagedDownloadError     the bytes are not those of the digest
"""

from typing import Any


class ApiError(Exception):
    """The service refused, with its reason; `problem` is the whole problem detail."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status = status
        self.problem = problem
        self.code = str(problem.get("code", f"http-{status}"))
        self.retryable = bool(problem.get("retryable", False))
        super().__init__(str(problem.get("detail") or problem.get("title") or self.code))


class UnreachableError(ApiError):
    """Nothing answers at the address."""

    def __init__(self, url: str, reason: str) -> None:
        detail = f"No server answers at {url} ({reason}). Start one with `edgewright serve`."
        super().__init__(0, {"code": "unreachable", "detail": detail, "retryable": True})


class UnauthenticatedError(ApiError):
    """No token, one that is not valid, or one that may not do this."""


class NotFoundError(ApiError):
    """There is no such thing; the message names what there is."""


class ConflictError(ApiError):
    """Not possible in the present state."""


class InvalidError(ApiError):
    """A value is not allowed; the message says what is."""


class BudgetInfeasibleError(InvalidError):
    """No network of the space is that fast on the device."""

    @property
    def smallest_feasible_ms(self) -> float:
        """The nearest budget that can be met, milliseconds."""
        return float(self.problem["smallest_feasible_ms"])


class UnavailableError(ApiError):
    """Not at the moment."""


class DamagedDownloadError(ApiError):
    """The bytes that arrived are not those of the digest; nothing was kept."""

    def __init__(self, sha256: str) -> None:
        detail = f"The download of {sha256} arrived damaged; nothing was kept."
        super().__init__(0, {"code": "damaged-download", "detail": detail, "retryable": True})


_BY_STATUS: dict[int, type[ApiError]] = {
    400: InvalidError,
    401: UnauthenticatedError,
    403: UnauthenticatedError,
    404: NotFoundError,
    409: ConflictError,
    413: InvalidError,
    415: InvalidError,
    422: InvalidError,
    429: UnavailableError,
    503: UnavailableError,
}


def error_of(status: int, problem: dict[str, Any]) -> ApiError:
    """Return the exception for a problem detail."""
    if problem.get("code") == "budget-infeasible":
        return BudgetInfeasibleError(status, problem)
    return _BY_STATUS.get(status, ApiError)(status, problem)
