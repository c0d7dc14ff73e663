"""Queries on tokens."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.tables.token import TokenRow


def token_by_digest(session: Session, digest: str) -> TokenRow | None:
    """Return the token with this digest."""
    return session.scalar(select(TokenRow).where(TokenRow.sha256 == digest))


def token_by_id(session: Session, token_id: str, *, lock: bool = False) -> TokenRow | None:
    """Return the token with this id; with `lock` nobody else changes it until the end."""
    statement = select(TokenRow).where(TokenRow.id == token_id)
    return session.scalar(statement.with_for_update() if lock else statement)


def tokens_newest_first(session: Session, limit: int, offset: int) -> Sequence[TokenRow]:
    """Return a page of all tokens."""
    order = (TokenRow.created_at.desc(), TokenRow.id)
    return session.scalars(select(TokenRow).order_by(*order).limit(limit).offset(offset)).all()
