from collections.abc import Iterator

import pytest

from service.client import Client
from tests.end_to_end.installation import DEVICE, Installation, wait_until


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    found = Installation(tmp_path_factory.mktemp("installation"))
    yield found
    found.stop()
    wait_until(lambda: found.processes() == [], timeout_s=30)


@pytest.fixture(scope="module")
def client(installation: Installation) -> Iterator[Client]:
    """A client of the server, which has one device: this machine."""
    with installation.start_server() as found:
        installation.start_agent(found, DEVICE)
        yield found
