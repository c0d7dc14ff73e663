"""ONNX files by digest: a bounded number of them, and never one whose bytes do not fit."""

import hashlib
import os
import re
import secrets
from pathlib import Path

from latency.agent.retry import Patience, repeat
from latency.agent.service_api import ServiceApi
from latency.files import private_directory, sync_directory

SHA256_HEX = re.compile(r"[0-9a-f]{64}")


class ModelCache:
    """Files under `root`, the least recently used one goes first."""

    def __init__(self, root: Path, api: ServiceApi, capacity: int) -> None:
        """Keep at most `capacity` models."""
        self._root = private_directory(root)
        self._api = api
        self._capacity = capacity

    def fetch(self, sha256: str, patience: Patience) -> Path:
        """Return the file with this digest; downloaded where it is not here or is damaged.

        Raises:
            ValueError: `sha256` is no SHA-256 in lower-case hex.
            RefusedError: the server has no such artifact, or it is too large.
            StoppedError: the stop was asked for.
        """
        if not SHA256_HEX.fullmatch(sha256):
            raise ValueError("artifact: expected a SHA-256 in lower-case hex")
        path = self._root / f"{sha256}.onnx"
        if not _has_digest(path, sha256):
            repeat(lambda: self._download(sha256, path), patience, "download")
        os.utime(path)
        self._evict(path)
        return path

    def _download(self, sha256: str, path: Path) -> None:
        temporary = self._root / f"tmp-{secrets.token_hex(8)}"
        try:
            with temporary.open("xb") as file:
                self._api.download(sha256, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_directory(self._root)

    def _evict(self, newest: Path) -> None:
        """Remove what is too much, and what a killed download left."""
        others = [path for path in self._root.iterdir() if path != newest]
        models = [path for path in others if path.suffix == ".onnx"]
        models.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        leftovers = [path for path in others if path.suffix != ".onnx"]
        for path in models[self._capacity - 1 :] + leftovers:
            path.unlink(missing_ok=True)


def _has_digest(path: Path, sha256: str) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return False
