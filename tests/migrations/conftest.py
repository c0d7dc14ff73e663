"""The databases of the service tests."""

from tests.service.conftest import (
    postgres_server_url,
)

__all__ = ["postgres_server_url"]
