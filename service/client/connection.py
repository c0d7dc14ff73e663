"""Where the server is and which token opens it: given, from the environment, or found on disk."""

import os
from dataclasses import dataclass
from pathlib import Path

DEFAULT_URL = "http://127.0.0.1:8712"
_DATA_DIR = ".edgewright"


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Address and token of a server."""

    url: str
    token: str


def find_connection(url: str | None = None, token: str | None = None) -> Connection:
    """Return where to call, in this order: arguments, EDGEWRIGHT_URL and _TOKEN, the data folder.

    An embedded server leaves its token, and its address where it is not the usual one, in its
    data folder, which is EDGEWRIGHT_DATA_DIR or ./.edgewright.

    Raises:
        ValueError: no token was found; the message says how to give one.
    """
    folder = Path(os.environ.get("EDGEWRIGHT_DATA_DIR", _DATA_DIR))
    found_url = url or os.environ.get("EDGEWRIGHT_URL") or _read(folder / "url") or DEFAULT_URL
    found_token = token or os.environ.get("EDGEWRIGHT_TOKEN") or _read(folder / "admin-token")
    if not found_token:
        raise ValueError(
            f"no token: set EDGEWRIGHT_TOKEN, or run where an embedded server has its data "
            f"folder ({folder.absolute()} holds none)"
        )
    return Connection(url=found_url.rstrip("/"), token=found_token)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
