"""The Python client of the service: `from service.client import Client`."""

from service.client.client import Client
from service.client.errors import ApiError

__all__ = ["ApiError", "Client"]
