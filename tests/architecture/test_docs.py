"""Documents and deployment files keep up with the code."""

import ast
import re
from pathlib import Path

import pytest
import typer.main
import yaml

from service.cli.app import app
from service.lifecycle import JobKind
from service.settings import Settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if path.name != "CHANGELOG.md"
)


def commands(group: object, prefix: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Return every command of the command line by its words."""
    below: dict[str, object] | None = getattr(group, "commands", None)
    if below is None:
        return {prefix}
    found = set().union(*(commands(sub, (*prefix, name)) for name, sub in below.items()))
    return found | {prefix} if getattr(group, "invoke_without_command", False) else found


def named_commands(text: str) -> set[tuple[str, ...]]:
    """Return the words behind each `edgewright` that stands at the start of a command."""
    lines = re.findall(r"(?:^    |`)edgewright((?: [a-z-]+)+)", text, re.MULTILINE)
    return {tuple(line.split()) for line in lines}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented(name: str) -> None:
    assert f"`EDGEWRIGHT_{name.upper()}`" in (ROOT / "docs" / "operations.md").read_text()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_commands_that_exist(path: Path) -> None:
    known = commands(typer.main.get_command(app))
    for words in named_commands(path.read_text()):
        starts = [words[:length] for length in range(1, len(words) + 1)]
        assert any(start in known for start in starts), f"{path.name}: edgewright {' '.join(words)}"


def test_guard_sees_a_command_that_does_not_exist() -> None:
    assert named_commands("    edgewright conquer now\n") == {("conquer", "now")}
    assert ("conquer",) not in commands(typer.main.get_command(app))


def test_documents_link_to_files_that_exist() -> None:
    for path in DOCUMENTS:
        for link in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / link).exists(), f"{path.name}: {link}"


def test_readme_python_snippet_uses_real_names() -> None:
    snippet = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(snippet) == 1
    tree = ast.parse(snippet[0])
    called = {
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    source = (ROOT / "service" / "client" / "client.py").read_text()
    assert called
    assert all(f"def {name}(" in source for name in called)


def test_glossary_knows_every_kind_of_job() -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text()
    assert all(kind.value in glossary for kind in JobKind)


class TestCompose:
    def services(self) -> dict[str, dict[str, object]]:
        document = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
        services: dict[str, dict[str, object]] = document["services"]
        return services

    def test_commands_exist(self) -> None:
        known = commands(typer.main.get_command(app))
        ours = [service["command"] for service in self.services().values() if "command" in service]
        edgewright = [
            words[1:] for words in ours if isinstance(words, list) and words[0] == "edgewright"
        ]
        assert len(edgewright) >= 3
        assert all(tuple(words) in known for words in edgewright)

    def test_environment_names_settings(self) -> None:
        for service in self.services().values():
            environment = service.get("environment")
            for name in environment if isinstance(environment, dict) else ():
                if name.startswith("EDGEWRIGHT_"):
                    assert name.removeprefix("EDGEWRIGHT_").lower() in Settings.model_fields

    def test_no_secret_has_a_default(self) -> None:
        text = (ROOT / "docker-compose.yml").read_text()
        for line in re.findall(r"\$\{([^}]*PASSWORD[^}]*)\}", text):
            assert ":?" in line

    def test_own_processes_are_locked_down(self) -> None:
        for name, service in self.services().items():
            if "build" in service:
                assert service["read_only"] is True, name
                assert service["cap_drop"] == ["ALL"], name
