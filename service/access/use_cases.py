"""Tokens: made, shown once, checked, revoked."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from service.access import repository
from service.access.tokens import TokenKind, is_well_formed, new_token, token_digest
from service.errors import ConflictError, NotFoundError, UnauthenticatedError
from service.tables.base import new_id
from service.tables.token import TokenRow


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Who is calling."""

    token_id: str
    kind: TokenKind
    name: str
    device_id: str | None = None  # of an agent


@dataclass(frozen=True, kw_only=True)
class IssuedToken:
    """A new token. The secret is in no database and cannot be shown again."""

    token_id: str
    token: str
    expires_at: datetime | None


def create_token(
    session: Session,
    kind: TokenKind,
    *,
    name: str,
    now: datetime,
    device_id: str | None = None,
    lifetime_s: float | None = None,
) -> IssuedToken:
    """Make a token; without `lifetime_s` (seconds) it is valid until it is revoked."""
    secret = new_token(kind)
    expires_at = None if lifetime_s is None else now + timedelta(seconds=lifetime_s)
    row = TokenRow(
        id=new_id(),
        kind=kind.value,
        sha256=token_digest(secret),
        name=name,
        device_id=device_id,
        created_at=now,
        expires_at=expires_at,
    )
    session.add(row)
    session.flush()
    return IssuedToken(token_id=row.id, token=secret, expires_at=expires_at)


def authenticate(session: Session, token: str, now: datetime) -> Principal:
    """Return whose token this is.

    Raises:
        UnauthenticatedError: not a token of ours, or one that was revoked or has expired.
    """
    row = (
        repository.token_by_digest(session, token_digest(token)) if is_well_formed(token) else None
    )
    if row is None:
        raise UnauthenticatedError("This token is not known here.")
    if row.revoked_at is not None:
        raise UnauthenticatedError("This token was revoked.", code="token-revoked")
    if row.is_expired(now):
        raise UnauthenticatedError("This token has expired.", code="token-expired")
    return Principal(
        token_id=row.id, kind=TokenKind(row.kind), name=row.name, device_id=row.device_id
    )


def use_enrolment(session: Session, token_id: str, now: datetime) -> None:
    """Use up a single-use token.

    Raises:
        ConflictError: a device was enrolled with it already.
    """
    row = repository.token_by_id(session, token_id, lock=True)
    if row is None or row.used_at is not None:
        raise ConflictError(
            "A device was enrolled with this token already; make a new one.",
            code="enrol-token-used",
        )
    row.used_at = now
    session.flush()


def revoke_token(session: Session, token_id: str, now: datetime) -> TokenRow:
    """Make a token invalid at once; revoking it again changes nothing.

    Raises:
        NotFoundError: there is no token with this id.
    """
    row = repository.token_by_id(session, token_id, lock=True)
    if row is None:
        raise NotFoundError("There is no token with this id.")
    row.revoked_at = row.revoked_at or now
    session.flush()
    return row
