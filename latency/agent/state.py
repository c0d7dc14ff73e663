"""Who this device is to the server: id and token, readable by this user only."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from latency import codec
from latency.files import private_directory, write_atomic
from latency.target import CPU, RuntimeSetting

IDENTITY_FILE = "identity.json"
LOCK_FILE = "agent.lock"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What `join` leaves for `run`."""

    server: str  # base address, without /v1
    device_id: str
    token: str = field(repr=False)
    name: str
    threads: int = 1  # of ONNX Runtime while measuring; a part of the target
    affinity: tuple[int, ...] = ()  # cores that are measured on; empty: not pinned
    provider: str = CPU  # execution provider
    provider_options: tuple[tuple[str, str], ...] = ()
    ca_file: str = ""  # certificates of authorities beside the system's own

    @property
    def setting(self) -> RuntimeSetting:
        """How this device measures."""
        return RuntimeSetting(
            threads=self.threads,
            affinity=self.affinity,
            provider=self.provider,
            provider_options=self.provider_options,
        )


def save_identity(state_dir: Path, identity: Identity) -> None:
    """Store `identity` with mode 0600 in a folder of mode 0700."""
    write_atomic(private_directory(state_dir) / IDENTITY_FILE, codec.encode(identity))


def find_identity(state_dir: Path) -> Identity | None:
    """Return what `join` stored, or None; ValueError where the file is damaged."""
    try:
        data = (state_dir / IDENTITY_FILE).read_bytes()
    except FileNotFoundError:
        return None
    try:
        return codec.decode(data, Identity)
    except ValueError as error:
        raise ValueError(f"{state_dir / IDENTITY_FILE} is damaged: {error}; join again") from error


def load_identity(state_dir: Path) -> Identity:
    """Return what `join` stored.

    Raises:
        ValueError: this device has not joined, or the file is damaged; says what to do.
    """
    identity = find_identity(state_dir)
    if identity is None:
        raise ValueError(f"no identity in {state_dir}: run `edgewright-agent join` first")
    return identity


@contextmanager
def sole_agent(state_dir: Path) -> Iterator[None]:
    """Hold the state folder; the kernel gives it free when the process dies.

    Raises:
        ValueError: another agent runs with this folder.
    """
    with (private_directory(state_dir) / LOCK_FILE).open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(f"another agent is running with the state in {state_dir}") from error
        yield
