"""The store on disk: what is in it is whole, what is damaged is not delivered."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.artifacts.store import ArtifactStore, DamagedError, iterate_and_close


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


def files(tmp_path: Path) -> list[Path]:
    return sorted(path for path in (tmp_path / "artifacts").rglob("*") if path.is_file())


def test_round_trip(store: ArtifactStore, tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    source.write_bytes(os.urandom(3_000_000))
    stored = store.add_file(source)
    assert stored.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert stored.size == 3_000_000
    assert store.read_bytes(stored.sha256) == source.read_bytes()
    (path,) = files(tmp_path)
    assert path.relative_to(tmp_path).as_posix() == (
        f"artifacts/sha256/{stored.sha256[:2]}/{stored.sha256}"
    )


@given(parts=st.lists(st.binary(max_size=50), max_size=6))
def test_parts_do_not_matter(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]) -> None:
    store = ArtifactStore(tmp_path_factory.mktemp("store"))
    whole = b"".join(parts)
    assert store.add(parts) == store.add_bytes(whole)
    assert store.read_bytes(hashlib.sha256(whole).hexdigest()) == whole


def test_many_writers_of_the_same_bytes(store: ArtifactStore, tmp_path: Path) -> None:
    data = os.urandom(100_000)
    with ThreadPoolExecutor(8) as pool:
        stored = set(pool.map(lambda _index: store.add_bytes(data), range(32)))
    assert len(stored) == 1
    assert len(files(tmp_path)) == 1


@pytest.mark.parametrize("damage", ["flip", "truncate", "grow", "remove"])
def test_damage_is_noticed(store: ArtifactStore, tmp_path: Path, damage: str) -> None:
    stored = store.add_bytes(b"0123456789" * 1000)
    (path,) = files(tmp_path)
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[500] ^= 1
        path.write_bytes(data)
    elif damage == "truncate":
        path.write_bytes(data[:-1])
    elif damage == "grow":
        path.write_bytes(data + b"x")
    else:
        path.unlink()
    with pytest.raises(DamagedError):
        store.open_verified(stored.sha256)
    store.add_bytes(b"0123456789" * 1000)
    assert store.read_bytes(stored.sha256) == b"0123456789" * 1000


def test_a_writer_that_fails_leaves_nothing(store: ArtifactStore, tmp_path: Path) -> None:
    def parts() -> object:
        yield b"begin"
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        store.add(parts())  # type: ignore[arg-type]
    assert files(tmp_path) == []


def test_stale_files_are_removed(store: ArtifactStore, tmp_path: Path) -> None:
    assert store.remove_stale() == 0
    store.add_bytes(b"kept")
    temporary = tmp_path / "artifacts" / "tmp"
    for name, age_s in (("old", 90_000), ("new", 10)):
        (temporary / name).write_bytes(b"half")
        then = (temporary / name).stat().st_mtime - age_s
        os.utime(temporary / name, (then, then))
    assert store.remove_stale() == 1
    assert (temporary / "new").exists()
    assert len(files(tmp_path)) == 2


@pytest.mark.parametrize(
    "name", ["", "../" * 8 + "etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n"]
)
def test_only_digests_become_paths(store: ArtifactStore, name: str) -> None:
    with pytest.raises(ValueError, match="hexadecimal"):
        store.open_verified(name)


def test_the_file_is_closed_when_the_reader_goes_away(store: ArtifactStore) -> None:
    stored = store.add_bytes(b"x" * 3_000_000)
    file = store.open_verified(stored.sha256)
    parts = iterate_and_close(file)
    next(parts)
    parts.close()  # type: ignore[attr-defined]
    assert file.closed
