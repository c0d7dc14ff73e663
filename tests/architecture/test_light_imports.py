"""A fresh interpreter imports one role and must not drag the heavy libraries of another in."""

import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "onnxruntime",
    "onnx",
    "sklearn",
    "fastapi",
    "sqlalchemy",
    "pydantic",
    "dbos",
    "matplotlib",
)
ALLOWED = {
    "latency.agent.__main__": {"onnx", "onnxruntime"},
    "latency.messages": set(),
    "latency.estimate.lookup_table": set(),
    "latency.exchange.table_file": set(),
    "latency.report.table_report": set(),
    "search.space.dass_cells": set(),
    "search.compress.request": set(),
    "service.app": {"fastapi", "sqlalchemy", "pydantic", "dbos"},
    "service.worker.__main__": {"sqlalchemy", "pydantic", "dbos"},
    "service.client": {"pydantic"},
    "service.__main__": {"pydantic"},
}


@pytest.mark.parametrize("module", sorted(ALLOWED))
def test_role_imports_only_its_own_libraries(module: str) -> None:
    code = f"import sys, {module}; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-W", "error::ImportWarning", "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(answer.stdout.split()) <= ALLOWED[module]
