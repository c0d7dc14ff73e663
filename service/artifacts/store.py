"""ArtifactStore: files under the SHA-256 of their bytes, durable before anybody hears of them.

A file is written to tmp/ while it is hashed, synced, renamed to sha256/ab/abcd... and its folder
synced. No string of a client ever becomes part of a path: a digest is checked to be one first.
"""

import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

_PART_BYTES = 1024 * 1024
_DIGEST = re.compile(r"[0-9a-f]{64}")
_STALE_S = 24 * 3600


class DamagedError(Exception):
    """The bytes of an artifact are missing, or are not those that were stored."""


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file that is in the store, durably."""

    sha256: str
    size: int  # bytes


class ArtifactStore:
    """The store below one folder; every process of the service may use it at once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._temporary = root / "tmp"

    def add_file(self, source: Path) -> StoredFile:
        """Store the bytes of a file; the source stays."""
        with source.open("rb") as file:
            return self.add(_parts(file))

    def add_bytes(self, data: bytes) -> StoredFile:
        """Store bytes."""
        return self.add([data])

    def add(self, parts: Iterable[bytes]) -> StoredFile:
        """Store what `parts` yields; the same bytes again are the same file."""
        self._temporary.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self._temporary / secrets.token_hex(16)
        try:
            with temporary.open("xb") as file:
                stored = _write(file, parts)
            self._publish(temporary, stored.sha256)
        finally:
            temporary.unlink(missing_ok=True)
        return stored

    def open_verified(self, sha256: str) -> BinaryIO:
        """Return the open file, at its start, after reading all of it and comparing the digest.

        Raises:
            DamagedError: the file is missing or damaged.
        """
        try:
            file = self._path(sha256).open("rb")
        except OSError as error:
            raise DamagedError(f"artifact {sha256} cannot be opened") from error
        try:
            intact = hashlib.file_digest(file, "sha256").hexdigest() == sha256
            file.seek(0)
        except OSError:
            intact = False
        if not intact:
            file.close()
            raise DamagedError(f"artifact {sha256} is not what was stored")
        return file

    def read_bytes(self, sha256: str) -> bytes:
        """Return a whole artifact, verified. DamagedError: see open_verified."""
        with self.open_verified(sha256) as file:
            return file.read()

    def remove_stale(self) -> int:
        """Remove what writers that died a day ago or earlier left behind; returns how many."""
        if not self._temporary.is_dir():
            return 0
        oldest = time.time() - _STALE_S  # noqa: TID251 - compared with times of files
        stale = [file for file in self._temporary.iterdir() if file.stat().st_mtime < oldest]
        for file in stale:
            file.unlink(missing_ok=True)
        return len(stale)

    def _publish(self, temporary: Path, sha256: str) -> None:
        final = self._path(sha256)
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(final)
        for folder in (final.parent, final.parent.parent, self._root):
            _sync_folder(folder)

    def _path(self, sha256: str) -> Path:
        if not _DIGEST.fullmatch(sha256):
            raise ValueError("artifact: a digest has 64 hexadecimal digits")
        return self._root / "sha256" / sha256[:2] / sha256


def iterate_and_close(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the file in parts and close it, also where the reader goes away."""
    with file:
        yield from _parts(file)


def _parts(file: IO[bytes]) -> Iterator[bytes]:
    while part := file.read(_PART_BYTES):
        yield part


def _write(file: BinaryIO, parts: Iterable[bytes]) -> StoredFile:
    digest, size = hashlib.sha256(), 0
    for part in parts:
        digest.update(part)
        size += len(part)
        file.write(part)
    file.flush()
    os.fsync(file.fileno())
    return StoredFile(sha256=digest.hexdigest(), size=size)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
