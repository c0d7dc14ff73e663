"""Which spool belongs to a lease: the one on disk, or a new one that keeps what is measured."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from latency import codec
from latency.agent.spool import Header, Spool
from latency.files import private_directory, sync_directory, write_atomic
from latency.measurement import Conditions
from latency.messages import Chunk, Lease

HEADER_FILE = "header.json"
REASON_FILE = "reason.txt"
KEPT_REFUSED = 5
TAKE_OVER_WITHIN_S = 3_600.0  # an older measurement says little about the machine as it is now


class SpoolStore:
    """All spools of the agent; normally one."""

    def __init__(self, root: Path, conditions: Callable[[], Conditions]) -> None:
        """Keep spools under `root`, which only this user may read."""
        self._root = private_directory(root / "spool")
        sync_directory(root)  # a power cut must not take the folder with all that is in it
        self._refused = root / "refused"
        self._conditions = conditions

    def open(self, lease: Lease, target: str) -> Spool:
        """Return the spool of `lease`: what is on disk of this attempt, else a new one.

        A new one takes over what an earlier lease measured within the last hour on the same
        target, as far as this lease asks for it and it went well: nothing is measured twice only
        because a lease ran out. All other spools are dropped.
        """
        header = Header(lease=lease, target=target)
        folder = self._root / _folder_name(header)
        others = [path for path in sorted(self._root.iterdir()) if path != folder]
        spool = self._existing(folder) or self._new(folder, header, others)
        for path in others:
            shutil.rmtree(path, ignore_errors=True)
        return spool

    def set_aside(self, spool: Spool, reason: str) -> None:
        """Keep a spool that the server refuses, for a person to look at; the newest few."""
        write_atomic(spool.folder / REASON_FILE, reason.encode())
        spool.folder.replace(private_directory(self._refused) / spool.folder.name)
        kept = sorted(self._refused.iterdir(), key=lambda path: path.stat().st_mtime)
        for path in kept[:-KEPT_REFUSED]:
            shutil.rmtree(path, ignore_errors=True)

    def _existing(self, folder: Path) -> Spool | None:
        try:
            header = codec.decode((folder / HEADER_FILE).read_bytes(), Header)
            return Spool(folder, header, self._conditions)
        except (FileNotFoundError, ValueError):
            return None

    def _new(self, folder: Path, header: Header, others: list[Path]) -> Spool:
        shutil.rmtree(folder, ignore_errors=True)
        private_directory(folder)
        write_atomic(folder / HEADER_FILE, codec.encode(header))
        sync_directory(self._root)
        spool = Spool(folder, header, self._conditions)
        for path in others:
            earlier = self._existing(path)
            if earlier is not None and _is_recent(path, folder):
                _take_over(earlier, spool)
        return spool


def _take_over(earlier: Spool, spool: Spool) -> None:
    """Copy what both leases ask for. A verification is a judgement of now and always made anew."""
    old, new = earlier.header.lease.profile, spool.header.lease.profile
    if old is None or new is None or earlier.header.target != spool.header.target:
        return
    if (old.rounds, old.processes) != (new.rounds, new.processes):
        return
    operators = {spec.key for spec in new.operators}
    networks = {network.name for network in new.networks if network in old.networks}
    earlier.seal()
    for index in range(earlier.chunk_count):
        chunk = codec.decode(earlier.body(index), Chunk)
        kept = replace(
            chunk,
            attempt=spool.header.lease.attempt,
            operators=tuple(
                row for row in chunk.operators if row.spec.key in operators and not row.error
            ),
            networks=tuple(row for row in chunk.networks if row.name in networks and not row.error),
        )
        if kept.operators or kept.networks:
            spool.store(kept)


def _is_recent(earlier: Path, folder: Path) -> bool:
    """Compare by the file system's clock, since a board's own may jump between two starts."""
    begun = [(path / HEADER_FILE).stat().st_mtime for path in (earlier, folder)]
    return 0 <= begun[1] - begun[0] <= TAKE_OVER_WITHIN_S


def _folder_name(header: Header) -> str:
    text = f"{header.lease.lease_id}\n{header.lease.attempt}\n{header.target}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]
