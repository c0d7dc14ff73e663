"""Power cuts: the disk keeps what was synced, and does with the rest what it likes."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from latency import codec
from latency.agent.spool import Spool
from latency.agent.spool_store import SpoolStore
from latency.messages import Chunk, Lease, WorkKind
from tests.latency_agent.samples import CONDITIONS, operator_row, profile_work, relu

TARGET = "t"

# What becomes of bytes that were written and not synced.
Fate = Callable[[bytes], bytes]
FATES: dict[str, Fate] = {
    "lost": lambda _data: b"",
    "kept": lambda data: data,
    "torn": lambda data: data[: len(data) // 2],
    "zeros": lambda data: bytes(len(data)),  # the length was written and the blocks were not
}


class Disk:
    """Watches what is synced below a folder, so that a cut can be played at any moment."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self._contents: dict[int, bytes] = {}  # by inode, as last synced
        self._names: dict[Path, dict[str, int]] = {}  # by folder, as last synced
        really = os.fsync

        def fsync(descriptor: int) -> None:
            really(descriptor)
            self._note(Path(f"/proc/self/fd/{descriptor}").readlink())

        monkeypatch.setattr(os, "fsync", fsync)

    def _note(self, path: Path) -> None:
        if path.is_dir():
            self._names[path] = {item.name: item.stat().st_ino for item in path.iterdir()}
        else:
            self._contents[path.stat().st_ino] = path.read_bytes()

    def cut(self, destination: Path, fate: Fate, *, names_survive: bool) -> Path:
        """Copy to `destination` what there is after a power cut now."""
        self._copy(self.root, destination, fate, names_survive=names_survive)
        return destination

    def _copy(self, source: Path, target: Path, fate: Fate, *, names_survive: bool) -> None:
        target.mkdir(mode=0o700)
        synced = self._names.get(source, {})
        for item in source.iterdir():
            inode = item.stat().st_ino
            if not names_survive and synced.get(item.name) != inode:
                continue
            if item.is_dir():
                self._copy(item, target / item.name, fate, names_survive=names_survive)
            else:
                written = item.read_bytes()
                durable = self._contents.get(inode, b"")
                (target / item.name).write_bytes(durable + fate(written[len(durable) :]))


def lease() -> Lease:
    return Lease(
        lease_id="lease-0",
        attempt=1,
        kind=WorkKind.PROFILE,
        expires_in_s=60.0,
        heartbeat_every_s=15.0,
        profile=profile_work(9),
    )


def opened(root: Path) -> Spool:
    return SpoolStore(root, lambda: CONDITIONS).open(lease(), TARGET)


def chunks(spool: Spool) -> list[bytes]:
    return [spool.body(index) for index in range(spool.chunk_count)]


@pytest.mark.parametrize("names_survive", [True, False])
@pytest.mark.parametrize("fate", FATES)
def test_what_was_sealed_is_there_after_a_power_cut_at_any_moment(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fate: str,
    names_survive: bool,  # noqa: FBT001
) -> None:
    (tmp_path / "disk").mkdir()
    disk = Disk(tmp_path / "disk", monkeypatch)
    spool = opened(disk.root)
    for step in range(9):
        spool.add(operator_row(relu(4 * (step + 1))))
        if step % 3 == 1:
            spool.seal()
        after = disk.cut(tmp_path / f"after-{step}", FATES[fate], names_survive=names_survive)
        found = opened(after)
        assert chunks(found) == chunks(spool)
        assert found.operator_keys <= spool.operator_keys
        if fate == "kept" and names_survive:
            assert found.operator_keys == spool.operator_keys
        sealed = found.operator_keys.copy()
        found.add(operator_row(relu(1000)))  # and it goes on from there
        found.seal()
        newest = codec.decode(found.body(found.chunk_count - 1), Chunk)
        assert relu(1000) in {row.spec for row in newest.operators}
        assert found.operator_keys == sealed | {relu(1000).key}
    assert spool.chunk_count == 3
