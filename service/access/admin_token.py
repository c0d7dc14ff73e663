"""The token of the embedded mode: made at the first start, kept in a file for its owner only."""

import os
from pathlib import Path

from service.access.tokens import TokenKind
from service.access.use_cases import authenticate, create_token
from service.clock import Clock
from service.database import Database
from service.errors import UnauthenticatedError


def read_admin_token(path: Path) -> str | None:
    """Return the token in `path`, or None where there is no such file."""
    try:
        return path.read_text().strip() or None
    except FileNotFoundError:
        return None


def ensure_admin_token(database: Database, path: Path, clock: Clock) -> str:
    """Return the token in `path`; make a new one where it is missing or not valid any more."""
    existing = read_admin_token(path)
    if existing is not None and _is_valid(database, existing, clock):
        return existing
    with database.transaction() as session:
        issued = create_token(session, TokenKind.ADMIN, name="embedded", now=clock())
    _write_private(path, issued.token)
    return issued.token


def _is_valid(database: Database, token: str, clock: Clock) -> bool:
    try:
        with database.reading() as session:
            return authenticate(session, token, clock()).kind is TokenKind.ADMIN
    except UnauthenticatedError:
        return False


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
