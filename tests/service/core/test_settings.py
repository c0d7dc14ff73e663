"""Settings: where they come from, what they refuse."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from service.settings import Settings


def test_environment_with_one_prefix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGEWRIGHT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("EDGEWRIGHT_PORT", "9000")
    settings = Settings()
    assert (settings.data_dir, settings.port) == (tmp_path, 9000)
    assert settings.sqlalchemy_url == f"sqlite:///{tmp_path}/edgewright.db"


def test_database_url_wins(tmp_path: Path) -> None:
    url = "postgresql+psycopg://user@host/name"
    assert Settings(data_dir=tmp_path, database_url=url).sqlalchemy_url == url


@pytest.mark.parametrize(
    "values",
    [
        {"host": "0.0.0.0"},  # noqa: S104 - the point of the test
        {"database_url": "postgresql+psycopg://host/name"},
    ],
)
def test_embedded_means_sqlite_on_this_machine(values: dict[str, Any], tmp_path: Path) -> None:
    assert Settings(data_dir=tmp_path).is_embedded
    assert not Settings(data_dir=tmp_path, **values).is_embedded


@pytest.mark.parametrize("values", [{"port": 0}, {"lease_seconds": 0}, {"max_attempts": 0}])
def test_values_out_of_range(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(**values)


def test_data_dir_is_closed_to_others(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "a" / "b")
    settings.prepare_data_dir()
    settings.prepare_data_dir()
    assert settings.data_dir.stat().st_mode & 0o777 == 0o700


def test_every_setting_is_described() -> None:
    undescribed = [name for name, field in Settings.model_fields.items() if not field.description]
    assert undescribed == []
