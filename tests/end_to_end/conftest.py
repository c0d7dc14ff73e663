from collections.abc import Iterator

import pytest

from tests.end_to_end.installation import Installation, wait_until


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    found = Installation(tmp_path_factory.mktemp("installation"))
    yield found
    found.stop()
    wait_until(lambda: found.processes() == [], timeout_s=30)
