"""Resolve the requirements of every role and write one pinned file a role: `make locks`.

The files hold `name==version` only, so plain pip reads them with -r or -c. There are no hashes:
torch 2.13.0 comes as a CPU and as a CUDA build of one version, and pip accepts hashes for all
requirements of a file or for none (docs/decisions/0004-locks.md).
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROLES = {
    "agent": ["agent"],
    "client": ["client"],
    "search": ["search"],
    "service": ["service", "client"],
    "dev": ["agent", "search", "service", "client"],
    "platforms": [],
}
GROUPS = ("dev", "platforms")  # roles that need the dependency group of their name too


def requirements(role: str) -> list[str]:
    """Return the specifiers of the base, of the role's extras and of its tools."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = list(document["project"]["dependencies"])
    for extra in ROLES[role]:
        wanted += document["project"]["optional-dependencies"][extra]
    if role in GROUPS:
        wanted += document["dependency-groups"][role] + document["build-system"]["requires"]
    return sorted(set(wanted))


def resolve(wanted: list[str]) -> list[str]:
    """Return `name==version` for everything that pip would install, sorted."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
    answer = subprocess.run(
        [*command, "--report", "-", *wanted], check=True, capture_output=True, text=True
    )
    found = [item["metadata"] for item in json.loads(answer.stdout)["install"]]
    return sorted(f"{meta['name'].lower()}=={meta['version'].split('+')[0]}" for meta in found)


def main() -> None:
    """Write locks/<role>.txt for every role, and locks/pip.txt."""
    head = "# Made by `make locks` from pyproject.toml. Do not edit.\n"
    for role in ROLES:
        pins = resolve(requirements(role))
        (ROOT / "locks" / f"{role}.txt").write_text(head + "\n".join(pins) + "\n")
    (ROOT / "locks" / "pip.txt").write_text(head + "\n".join(resolve(["pip"])) + "\n")


if __name__ == "__main__":
    main()
