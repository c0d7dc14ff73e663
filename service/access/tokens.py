"""The form of a token: ew_<kind>_<256 random bits in base 62>_<CRC-32>; pure functions.

The fixed form lets secret scanners find a leaked token, and lets the service refuse a mistyped
one without asking the database.
"""

import hashlib
import re
import secrets
import string
import zlib
from enum import StrEnum

_ALPHABET = string.digits + string.ascii_letters
_SECRET_LENGTH = 43  # 62**43 > 2**256
_FORM = re.compile(r"ew_(admin|user|agent|enrol)_([0-9A-Za-z]{43})_([0-9a-f]{8})")


class TokenKind(StrEnum):
    """What a token is for."""

    ADMIN = "admin"  # everything
    USER = "user"  # everything but tokens
    AGENT = "agent"  # the work of one device
    ENROL = "enrol"  # to enrol one device, once


def new_token(kind: TokenKind) -> str:
    """Return a new token of `kind`; its secret part has 256 random bits."""
    head = f"ew_{kind.value}_{_base62(secrets.randbits(256))}"
    return f"{head}_{_checksum(head)}"


def is_well_formed(token: str) -> bool:
    """Whether `token` has the form of one of ours; says nothing on whether it is valid."""
    if not _FORM.fullmatch(token):
        return False
    head, _, checksum = token.rpartition("_")
    return secrets.compare_digest(checksum, _checksum(head))


def token_digest(token: str) -> str:
    """Return what is stored of a token: SHA-256 in hex. 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()


def _base62(number: int) -> str:
    digits = []
    for _ in range(_SECRET_LENGTH):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def _checksum(head: str) -> str:
    return f"{zlib.crc32(head.encode()):08x}"
