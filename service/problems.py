"""Renders every error of the API as application/problem+json (RFC 9457)."""

import logging
import uuid
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from service.errors import FieldError, ServiceError, UnavailableError

MEDIA_TYPE = "application/problem+json"
_LOG = logging.getLogger(__name__)
_FRAMEWORK_CODES = {
    400: ("malformed-json", "Request cannot be read"),
    404: ("not-found", "Not found"),
    405: ("method-not-allowed", "This method is not allowed here"),
    408: ("request-timeout", "The request did not arrive in time"),
    413: ("body-too-large", "The request body is too large"),
    415: ("unsupported-media-type", "This media type is not accepted"),
}


def problem(  # noqa: PLR0913 - the members of a problem detail
    *,
    status: int,
    code: str,
    title: str,
    detail: str,
    retryable: bool = False,
    errors: Sequence[FieldError] = (),
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the body of a problem detail."""
    body: dict[str, Any] = {
        "type": f"/problems/{code}",
        "title": title,
        "status": status,
        "detail": _encodable(detail),
        "instance": f"urn:uuid:{uuid.uuid4()}",
        "code": code,
        "retryable": retryable,
    }
    if errors:
        body["errors"] = [error.to_dict() for error in errors]
    return body | dict(extra or {})


def install_error_handlers(app: FastAPI) -> None:
    """Make every error of `app` a problem detail, those of the framework too."""
    app.add_exception_handler(ServiceError, _on_service_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_framework_error)
    app.add_exception_handler(DBAPIError, _on_database_error)
    app.add_exception_handler(PoolTimeoutError, _on_database_error)
    app.add_exception_handler(Exception, _on_fault)


def service_problem(error: ServiceError) -> JSONResponse:
    """Return the response for an error of the service."""
    extra = dict(error.extra)
    headers: dict[str, str] = {}
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
        extra["retry_after_s"] = error.retry_after_s
    body = problem(
        status=error.status,
        code=error.code,
        title=error.title,
        detail=error.detail,
        retryable=error.retryable,
        errors=error.errors,
        extra=extra,
    )
    return JSONResponse(body, error.status, headers, media_type=MEDIA_TYPE)


def framework_problem(
    status: int, detail: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return the response for an error that the framework or a middleware found."""
    code, title = _FRAMEWORK_CODES.get(status, (f"http-{status}", HTTPStatus(status).phrase))
    body = problem(
        status=status,
        code=code,
        title=title,
        detail=detail,
        retryable=status == HTTPStatus.REQUEST_TIMEOUT,
    )
    return JSONResponse(body, status, dict(headers or {}), media_type=MEDIA_TYPE)


async def _on_service_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServiceError)  # noqa: S101 - registered for this class
    return service_problem(error)


async def _on_invalid_request(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
    found = error.errors()
    if any(item["type"] == "json_invalid" for item in found):
        return framework_problem(400, "The request body is not JSON.")
    errors = tuple(_field_error(item) for item in found[:20])
    unknown = all(item.code == "unknown-field" for item in errors)
    body = problem(
        status=422,
        code="unknown-field" if unknown else "invalid-value",
        title="A value is not allowed",
        detail="; ".join(f"{item.pointer}: {item.message}" for item in errors[:3]),
        errors=errors,
    )
    return JSONResponse(body, 422, media_type=MEDIA_TYPE)


def _field_error(item: Mapping[str, Any]) -> FieldError:
    """Return a field error without the value: pydantic repeats it in `input` and `ctx` only."""
    where, *path = item["loc"]
    pointer = "/" + "/".join(_escape(part) for part in path)
    if item["type"] == "extra_forbidden":
        # The name of an unknown field is the caller's text too, so the pointer ends above it.
        parent = pointer.rpartition("/")[0] or "/"
        return FieldError(pointer=parent, code="unknown-field", message="Unknown field")
    message = "Not a valid value" if item["type"] == "value_error" else str(item["msg"])
    if item["type"] == "value_error" and isinstance(item.get("ctx", {}).get("error"), ValueError):
        message = str(item["ctx"]["error"])
    return FieldError(
        pointer=pointer if where == "body" else str(path[0]) if path else where,
        code="invalid-value",
        message=message,
    )


def _encodable(text: str) -> str:
    """Return `text` without lone surrogates, which no answer could carry."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _escape(part: object) -> str:
    return _encodable(str(part)).replace("~", "~0").replace("/", "~1")


async def _on_framework_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    details = {
        400: "The request body is not JSON.",
        404: "There is nothing at this address.",
        405: f"{request.method} is not allowed here.",
    }
    detail = details.get(error.status_code, HTTPStatus(error.status_code).description)
    return framework_problem(error.status_code, detail, error.headers)


async def _on_database_error(_request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, DataError):
        _LOG.warning("the database refused a value that validation had let through")
        body = problem(
            status=422,
            code="invalid-value",
            title="A value is not allowed",
            detail="A value cannot be stored.",
        )
        return JSONResponse(body, 422, media_type=MEDIA_TYPE)
    if isinstance(error, (OperationalError, PoolTimeoutError)):
        _LOG.warning("database unavailable: %s", type(error).__name__)
        return service_problem(
            UnavailableError(
                "The database does not answer at the moment.",
                code="database-unavailable",
                retry_after_s=1,
            )
        )
    if isinstance(error, IntegrityError):
        body = problem(
            status=409,
            code="changed-meanwhile",
            title="Somebody else changed the same thing",
            detail="Somebody else changed the same thing at this moment; try again.",
            retryable=True,
        )
        return JSONResponse(body, 409, media_type=MEDIA_TYPE)
    return await _on_fault(_request, error)


async def _on_fault(_request: Request, error: Exception) -> JSONResponse:
    _LOG.error("unexpected error", exc_info=error)
    body = problem(
        status=500,
        code="internal-error",
        title="Internal error",
        detail="The service made a mistake; it is in the log under this instance.",
        retryable=True,
    )
    return JSONResponse(body, 500, media_type=MEDIA_TYPE)
