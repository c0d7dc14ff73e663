"""Check that the locks satisfy pyproject.toml and agree with each other; part of `make lint`."""

import sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from locks.resolve import ROLES, ROOT, requirements


def pins(path: Path) -> dict[str, str]:
    """Return {canonical name: version} of a lock file."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in lines}


def problems(role: str) -> list[str]:
    """Return what is wrong with the lock of a role, in words."""
    locked = pins(ROOT / "locks" / f"{role}.txt")
    everything = pins(ROOT / "locks" / "dev.txt")
    found = []
    for text in requirements(role):
        wanted = Requirement(text)
        version = locked.get(canonicalize_name(wanted.name))
        if version is None or Version(version) not in wanted.specifier:
            found.append(f"locks/{role}.txt: {text} is wanted, {version} is locked")
    for name, version in locked.items():
        if everything.get(name, version) != version:
            found.append(f"locks/{role}.txt: {name} {version}, but {everything[name]} in dev.txt")
    return found


def main() -> None:
    """Print what is wrong and exit with 1, or say nothing."""
    found = [problem for role in ROLES for problem in problems(role)]
    if found:
        sys.exit("\n".join([*found, "mend with: make locks"]))


if __name__ == "__main__":
    main()
