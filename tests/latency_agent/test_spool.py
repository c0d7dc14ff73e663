"""The spool: whatever kills the agent, what was added is there or was never acknowledged."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from latency import codec
from latency.agent.spool import Header, Spool
from latency.agent.spool_store import HEADER_FILE, KEPT_REFUSED, SpoolStore
from latency.messages import Chunk, Lease, ProfileWork, VerifyWork, WorkKind
from tests.latency_agent.samples import (
    CONDITIONS,
    graph,
    network_row,
    operator_row,
    profile_work,
    relu,
)

AGAIN = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def lease(work: ProfileWork, lease_id: str = "lease-0", attempt: int = 1) -> Lease:
    return Lease(
        lease_id=lease_id,
        attempt=attempt,
        kind=WorkKind.PROFILE,
        expires_in_s=60.0,
        heartbeat_every_s=15.0,
        profile=work,
    )


def reopen(folder: Path) -> Spool:
    header = Header(lease=lease(profile_work(1)), target="t")
    folder.mkdir(exist_ok=True, parents=True)
    return Spool(folder, header, lambda: CONDITIONS)


def contents(spool: Spool) -> list[str]:
    """Return what the spool would upload, in order."""
    spool.seal()
    names = []
    for index in range(spool.chunk_count):
        chunk = codec.decode(spool.body(index), Chunk)
        names += [row.spec.label() for row in chunk.operators]
        names += [row.name for row in chunk.networks]
    return names


@AGAIN
@given(
    actions=st.lists(st.sampled_from(["add", "seal", "restart"]), max_size=25),
    cut=st.integers(0, 400),
    garbage=st.binary(max_size=20),
)
def test_a_death_loses_nothing_but_the_row_that_was_being_written(
    tmp_path_factory: pytest.TempPathFactory, actions: list[str], cut: int, garbage: bytes
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    spool = reopen(folder)
    added: list[str] = []
    for action in actions:
        if action == "add":
            added.append(relu(len(added) + 1).label())
            spool.add(operator_row(relu(len(added))))
        elif action == "seal":
            spool.seal()
        else:
            spool = reopen(folder)
    assert spool.done == len(added)
    torn = codec.encode(operator_row(relu(99)))[:cut] + garbage.replace(b"\n", b"")
    rows = folder / f"rows-{spool.chunk_count:06d}.jsonl"
    with rows.open("ab") as file:
        file.write(torn)
    spool = reopen(folder)
    assert spool.done == len(added)
    spool.add(operator_row(relu(1000)))
    assert contents(reopen(folder)) == [*added, relu(1000).label()]


@AGAIN
@given(cut=st.integers(0, 3000))
def test_a_file_cut_anywhere_gives_a_prefix(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    spool = reopen(folder)
    for channels in range(1, 6):
        spool.add(operator_row(relu(channels)))
    rows = folder / "rows-000000.jsonl"
    whole = rows.read_bytes()
    rows.write_bytes(whole[:cut])
    complete = max(0, whole[:cut].count(b"\n") - 1)
    assert contents(reopen(folder)) == [relu(n + 1).label() for n in range(complete)]


def test_a_death_between_chunk_and_rows_counts_nothing_twice(tmp_path: Path) -> None:
    spool = reopen(tmp_path)
    spool.add(operator_row(relu(1)))
    rows = tmp_path / "rows-000000.jsonl"
    left_over = rows.read_bytes()
    spool.seal()
    rows.write_bytes(left_over)
    assert contents(reopen(tmp_path)) == [relu(1).label()]


def test_the_digest_is_that_of_the_joined_hex_digests(tmp_path: Path) -> None:
    spool = reopen(tmp_path)
    for channels in (1, 2):
        spool.add(operator_row(relu(channels)))
        spool.seal()
    joined = "".join(hashlib.sha256(spool.body(index)).hexdigest() for index in (0, 1))
    assert spool.digest(2) == hashlib.sha256(joined.encode()).hexdigest()
    assert spool.digest(0) == hashlib.sha256(b"").hexdigest()
    assert reopen(tmp_path).digest(2) == spool.digest(2)


def test_a_chunk_holds_conditions_and_both_kinds(tmp_path: Path) -> None:
    spool = reopen(tmp_path)
    spool.add(operator_row(relu(1), error="crashed"))
    spool.add(network_row("net", error="odd"))
    spool.seal()
    spool.seal()
    assert spool.chunk_count == 1
    chunk = codec.decode(spool.body(0), Chunk)
    assert chunk.conditions == CONDITIONS
    assert chunk.operators == (operator_row(relu(1), error="crashed"),)
    assert reopen(tmp_path).network_errors == {"net": "odd"}


def test_a_missing_chunk_is_noticed(tmp_path: Path) -> None:
    spool = reopen(tmp_path)
    for channels in (1, 2):
        spool.add(operator_row(relu(channels)))
        spool.seal()
    (tmp_path / "chunk-000000.json").unlink()
    with pytest.raises(ValueError, match="missing"):
        reopen(tmp_path)


def test_the_same_attempt_is_resumed_and_others_are_dropped(tmp_path: Path) -> None:
    store = SpoolStore(tmp_path, lambda: CONDITIONS)
    store.open(lease(profile_work(3), "other"), "t").add(operator_row(relu(4)))
    spool = store.open(lease(profile_work(2)), "t")
    spool.add(operator_row(relu(4)))
    again = SpoolStore(tmp_path, lambda: CONDITIONS).open(lease(profile_work(2)), "t")
    assert again.operator_keys == {relu(4).key}
    assert len(list((tmp_path / "spool").iterdir())) == 1


def test_a_new_attempt_at_the_same_work_takes_the_results_over(tmp_path: Path) -> None:
    store = SpoolStore(tmp_path, lambda: CONDITIONS)
    old = store.open(lease(profile_work(4)), "t")
    for channels in (4, 8, 12):
        old.add(operator_row(relu(channels)))
        if channels == 8:
            old.seal()
    new = store.open(lease(profile_work(4), "lease-1", attempt=2), "t")
    assert contents(new) == [relu(n).label() for n in (4, 8, 12)]
    bodies = [codec.decode(new.body(index), Chunk) for index in range(new.chunk_count)]
    assert {chunk.attempt for chunk in bodies} == {2}
    new.add(operator_row(relu(16)))
    again = SpoolStore(tmp_path, lambda: CONDITIONS).open(
        lease(profile_work(4), "lease-1", attempt=2), "t"
    )
    assert again.done == 4


def test_only_what_the_new_lease_asks_for_is_taken_over(tmp_path: Path) -> None:
    store = SpoolStore(tmp_path, lambda: CONDITIONS)
    work = profile_work(4, networks=3)
    old = store.open(lease(work), "t")
    for spec in work.operators:
        old.add(operator_row(spec, error="crashed" if spec is work.operators[3] else ""))
    old.seal()
    for network in work.networks:
        old.add(network_row(network.name))
    changed = replace(work.networks[1], graph=graph(64))
    left = replace(work, operators=work.operators[2:], networks=(work.networks[0], changed))
    new = store.open(lease(left, "lease-1", attempt=2), "t")
    assert contents(new) == [work.operators[2].label(), "network-0"]


@pytest.mark.parametrize("difference", ["target", "rounds", "age"])
def test_other_results_are_never_taken_over(tmp_path: Path, difference: str) -> None:
    store = SpoolStore(tmp_path, lambda: CONDITIONS)
    old = store.open(lease(profile_work(2)), "t")
    old.add(operator_row(relu(4)))
    work, target = profile_work(2), "t"
    if difference == "target":
        target = "another"
    elif difference == "rounds":
        work = replace(work, rounds=work.rounds + 1)
    else:
        os.utime(old.folder / HEADER_FILE, (1, 1))
    assert store.open(lease(work, "lease-1"), target).done == 0
    assert not old.folder.exists()


def test_a_verification_is_always_made_anew(tmp_path: Path) -> None:
    store = SpoolStore(tmp_path, lambda: CONDITIONS)

    def verify_lease(name: str) -> Lease:
        return Lease(
            lease_id=name,
            attempt=1,
            kind=WorkKind.VERIFY,
            expires_in_s=60.0,
            heartbeat_every_s=15.0,
            verify=VerifyWork(name="candidate", graph=graph(4)),
        )

    store.open(verify_lease("one"), "t").add(network_row("candidate"))
    assert store.open(verify_lease("two"), "t").done == 0


def test_a_damaged_spool_is_begun_anew(tmp_path: Path) -> None:
    store = SpoolStore(tmp_path, lambda: CONDITIONS)
    spool = store.open(lease(profile_work(2)), "t")
    spool.add(operator_row(relu(4)))
    spool.seal()
    (spool.folder / "chunk-000000.json").write_bytes(b"{")
    assert store.open(lease(profile_work(2)), "t").done == 0


def test_refused_spools_are_kept_but_not_for_ever(tmp_path: Path) -> None:
    store = SpoolStore(tmp_path, lambda: CONDITIONS)
    for number in range(KEPT_REFUSED + 2):
        spool = store.open(lease(profile_work(1), f"lease-{number}"), "t")
        store.set_aside(spool, f"refusal {number}")
    kept = list((tmp_path / "refused").iterdir())
    assert len(kept) == KEPT_REFUSED
    assert not list((tmp_path / "spool").iterdir())
    assert any((path / "reason.txt").read_text() == f"refusal {number}" for path in kept)


def test_nobody_else_can_read_results(tmp_path: Path) -> None:
    spool = SpoolStore(tmp_path / "state", lambda: CONDITIONS).open(lease(profile_work(1)), "t")
    assert (tmp_path / "state" / "spool").stat().st_mode & 0o077 == 0
    assert spool.folder.stat().st_mode & 0o077 == 0


def test_a_lease_id_never_becomes_a_path(tmp_path: Path) -> None:
    store = SpoolStore(tmp_path / "a" / "b", lambda: CONDITIONS)
    spool = store.open(lease(profile_work(1), "../../../../escaped"), "t")
    assert spool.folder.parent == tmp_path / "a" / "b" / "spool"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
