"""What an administrator does at the server's own database, without the API."""

from datetime import datetime

from service.access.admin_token import ensure_admin_token
from service.access.repository import tokens_newest_first
from service.access.tokens import TokenKind
from service.access.use_cases import create_token, revoke_token
from service.clock import utc_now
from service.database import Database, create_engine
from service.engine.setup import migrate_engine
from service.schema import upgrade
from service.settings import Settings
from service.tables.token import TokenRow

_KINDS = (TokenKind.ADMIN, TokenKind.USER, TokenKind.ENROL)


def migrate_database(settings: Settings) -> list[str]:
    """Bring both schemas up to date; returns lines that say what was done."""
    settings.prepare_data_dir()
    engine = create_engine(settings.sqlalchemy_url)
    try:
        upgrade(engine)
        migrate_engine(settings.sqlalchemy_url)
        lines = ["the database is up to date"]
        if settings.is_embedded:
            ensure_admin_token(Database(engine), settings.admin_token_file, utc_now)
            lines.append(f"the admin token is in {settings.admin_token_file}")
        return lines
    finally:
        engine.dispose()


def create_token_of_kind(settings: Settings, kind: str, name: str) -> tuple[str, str]:
    """Make a token; returns its id and the token.

    Raises:
        ValueError: tokens of this kind are not made by hand.
    """
    if kind not in _KINDS:
        allowed = ", ".join(found.value for found in _KINDS)
        raise ValueError(f"a token is of one of these kinds: {allowed}")
    lifetime_s = settings.enrolment_seconds if kind == TokenKind.ENROL else None
    engine = create_engine(settings.sqlalchemy_url)
    try:
        with Database(engine).transaction() as session:
            issued = create_token(
                session,
                TokenKind(kind),
                name=name or f"{kind} made at the command line",
                now=utc_now(),
                lifetime_s=lifetime_s,
            )
        return issued.token_id, issued.token
    finally:
        engine.dispose()


def token_lines(settings: Settings) -> list[str]:
    """Return a line for each token, newest first: id, kind, state, whose it is."""
    engine = create_engine(settings.sqlalchemy_url)
    now = utc_now()
    try:
        with Database(engine).reading() as session:
            rows = tokens_newest_first(session, limit=1000, offset=0)
            return [f"{row.id}  {row.kind:<6} {_state(row, now):<8} {row.name}" for row in rows]
    finally:
        engine.dispose()


def _state(row: TokenRow, now: datetime) -> str:
    if row.revoked_at is not None:
        return "revoked"
    if row.used_at is not None:
        return "used"
    return "expired" if row.is_expired(now) else "valid"


def revoke_token_by_id(settings: Settings, token_id: str) -> None:
    """Make a token invalid at once.

    Raises:
        NotFoundError: there is none with this id.
    """
    engine = create_engine(settings.sqlalchemy_url)
    try:
        with Database(engine).transaction() as session:
            revoke_token(session, token_id, utc_now())
    finally:
        engine.dispose()
