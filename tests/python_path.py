"""What processes that tests start import: these sources, and otherwise what the tests themselves do."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]


def python_path() -> str:
    """Return PYTHONPATH for them."""
    return os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
