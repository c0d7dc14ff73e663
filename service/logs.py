"""Logs of the service's processes: lines on standard error, without the chatter of libraries."""

import logging

_CHATTY = ("alembic", "dbos", "httpx2", "httpcore2")


def log_to_stderr() -> None:
    """Set up logging for this process."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
