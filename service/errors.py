"""The error tree of the service; problems.py renders it as RFC 9457 problem details.

    ServiceError
    ├── InvalidRequestError      400 malformed-json and the like: the request cannot be read
    ├── UnauthenticatedError     401 no token, or one that is not valid any more
    ├── WrongScopeError          403 the token is of a kind that may not do this
    ├── NotFoundError            404 no such thing, or not yours
    ├── ConflictError            409 the thing is in a state in which this cannot be done
    ├── InvalidValueError        422 the request was read, and a value in it is not allowed
    ├── BudgetInfeasibleError    422 no network of the space is that fast on the device
    └── UnavailableError         503 not now; the same request may be sent again

A message says what was wrong, where, and what is allowed. It never repeats a rejected value.
"""

import re
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class FieldError:
    """One wrong value of a request."""

    pointer: str  # JSON pointer into the body, or the name of a parameter
    code: str
    message: str

    def to_dict(self) -> dict[str, str]:
        """Return plain JSON values."""
        return {"pointer": self.pointer, "code": self.code, "message": self.message}


@dataclass(eq=False)
class ServiceError(Exception):
    """An outcome that the caller must know about, with its HTTP status."""

    status: ClassVar[int] = 500
    default_code: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Internal error"
    retryable: ClassVar[bool] = False

    detail: str
    code: str = ""
    errors: tuple[FieldError, ...] = ()
    retry_after_s: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)  # more members of the problem detail

    def __post_init__(self) -> None:
        self.code = self.code or self.default_code
        super().__init__(self.detail)

    def __str__(self) -> str:
        return self.detail


class InvalidRequestError(ServiceError):
    """The request cannot be read."""

    status = 400
    default_code = "invalid-request"
    title = "Request cannot be read"


class UnauthenticatedError(ServiceError):
    """No token, or one that is not valid any more."""

    status = 401
    default_code = "unauthenticated"
    title = "A valid token is needed"


class WrongScopeError(ServiceError):
    """The token is of a kind that may not do this."""

    status = 403
    default_code = "wrong-scope"
    title = "This token may not do that"


class NotFoundError(ServiceError):
    """No such thing, or not the caller's."""

    status = 404
    default_code = "not-found"
    title = "Not found"


class ConflictError(ServiceError):
    """The thing is in a state in which this cannot be done."""

    status = 409
    default_code = "conflict"
    title = "Not possible in this state"


class InvalidValueError(ServiceError):
    """The request was read, and a value in it is not allowed."""

    status = 422
    default_code = "invalid-value"
    title = "A value is not allowed"


class BudgetInfeasibleError(InvalidValueError):
    """No network of the space is that fast on the device; names the nearest budget that works."""

    default_code = "budget-infeasible"
    title = "The budget cannot be met"

    def __init__(
        self,
        *,
        budget_ms: float,
        smallest_feasible_ms: float,
        device: str,
        table_version: int,
        what: str = "network of this space",
    ) -> None:
        super().__init__(
            f"No {what} runs within {budget_ms:g} ms on {device}; the smallest "
            f"budget that can be met is {smallest_feasible_ms:.4g} ms: there the 90 % interval of the "
            f"cheapest one ends, by table version {table_version}.",
            extra={"smallest_feasible_ms": smallest_feasible_ms, "table_version": table_version},
        )


class UnavailableError(ServiceError):
    """Not now; the same request may be sent again."""

    status = 503
    default_code = "unavailable"
    title = "Not available at the moment"
    retryable = True


def invalid_field(pointer: str, message: str, *, code: str = "invalid-value") -> InvalidValueError:
    """Return the error for one wrong value at a JSON pointer."""
    return InvalidValueError(
        message, code=code, errors=(FieldError(pointer=pointer, code=code, message=message),)
    )


def public_message(error: ValueError) -> str:
    """Return the message of a lower package without the rejected values that it repeats."""
    message = re.sub(r"'[^']*'(?=;| is not|$)", "...", str(error))
    message = re.sub(r",? got [^;]*", "", message)
    return message[:500]
