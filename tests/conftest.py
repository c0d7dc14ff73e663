"""What takes minutes begins first, so that other workers do everything else meanwhile."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the whole loop before all others, whose order stays."""
    items.sort(key=lambda item: "end_to_end" not in item.path.parts)
