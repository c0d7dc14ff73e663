"""Queries on tokens."""

from collections.abc import Sequence

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from service.tables.token import TokenRow

_BY_DIGEST = select(TokenRow).where(TokenRow.sha256 == bindparam("digest"))  # at every request


def token_by_digest(session: Session, digest: str) -> TokenRow | None:
    """Return the token with this digest."""
    return session.scalar(_BY_DIGEST, {"digest": digest})


def token_by_id(session: Session, token_id: str, *, lock: bool = False) -> TokenRow | None:
    """Return the token with this id; with `lock` nobody else changes it until the end."""
    statement = select(TokenRow).where(TokenRow.id == token_id)
    return session.scalar(statement.with_for_update() if lock else statement)


def tokens_newest_first(session: Session, limit: int, offset: int) -> Sequence[TokenRow]:
    """Return a page of all tokens."""
    order = (TokenRow.created_at.desc(), TokenRow.id)
    return session.scalars(select(TokenRow).order_by(*order).limit(limit).offset(offset)).all()
