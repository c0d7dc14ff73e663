"""The commands around tables against a real server, from a plan to a picture."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from latency import codec
from latency.exchange.profile_file import ProfileFile, read_plan, write_profile
from latency.measurement import Conditions
from latency.report.values import TableReport
from tests.service.board import enrol
from tests.service.client.commands import Run
from tests.service.samples import STARTED, network_result, operator_result, target


def measured(plan: Path, profile: Path, ns: int) -> None:
    """Do what a board does, at known costs: every operator `ns`, every network their sum."""
    work = read_plan(plan)
    write_profile(
        profile,
        ProfileFile(
            target=target(),
            conditions=Conditions(started_at=STARTED),
            operators=tuple(operator_result(spec, ns=ns) for spec in work.operators),
            networks=tuple(
                codec.from_plain(
                    codec.to_plain(network_result(named.name, ns=ns * len(named.graph.nodes)))
                    | {"graph": named.graph.to_dict()},
                    type(network_result("")),
                )
                for named in work.networks
            ),
        ),
    )


def test_from_a_plan_to_a_report(run: Run, app: object, admin: TestClient, tmp_path: Path) -> None:
    board = enrol(app, admin)  # type: ignore[arg-type]
    space = ("--device", "board", "--channels", "4", "--cells", "3", "--held-out", "3")
    plan, profile = tmp_path / "plan.json", tmp_path / "profile.json"
    assert "11 networks" in run("plan", *space, "-o", plan)
    measured(plan, profile, 1000)
    assert "has no table yet" in run("tables", "report", "board", status=1)
    assert "table version 1" in run("profiles", "import", profile, "--device", "board")
    assert "imported for this device already" in run(
        "profiles", "import", profile, "--device", board.device_id, status=1
    )
    assert run("tables") == run("tables", "list") == run("tables", "--device", "board")

    picture = tmp_path / "report.svg"
    text = run("tables", "report", "board", "--plot", picture)
    assert "3 held-out networks" in text
    assert "rest on imported files" in text
    assert picture.stat().st_size > 10_000
    report = codec.decode(run("tables", "report", "board", "--json"), TableReport)
    assert report.schema == 1
    wider = ("--dataset", "digits", "--channels", "8", "--cells", "3")
    assert "assumed" in run("tables", "report", "board", *wider)

    table, merged = tmp_path / "table.json", tmp_path / "merged.json"
    second_board = tmp_path / "second.json"
    measured(plan, second_board, 1100)
    assert "rows of 2 profiles" in run("profiles", "merge", profile, second_board, "-o", merged)
    assert "rows from" in run("tables", "export", "board", "-o", table)
    offline = run("tables", "report", table)
    assert "3 held-out networks" in offline
    assert "imported" not in offline
    # Medians of device medians: 1000 and 1100 make 1050 of every operator.
    against_merged = run("tables", "diff", "board", merged)
    assert "1.050" in against_merged
    assert "not a file" in run("tables", "report", table, "--dataset", "digits", status=1)
    second = run("tables", "import", table)
    assert "of board (imported)" in second
    before, after = (line.split()[0] for line in reversed(run("tables").splitlines()))
    assert "0 of " in run("tables", "diff", before, after)
    table.write_bytes(table.read_bytes().replace(b'"long_ns":[9', b'"long_ns":[8', 1))
    assert "table.json: its content was changed" in run("tables", "import", table, status=1)
    profile.write_bytes(profile.read_bytes()[:1000])
    refused = run("profiles", "import", profile, "--device", "board", status=1)
    assert "profile.json: not JSON" in refused


def test_a_withdrawn_table_is_not_served_without_a_word(
    run: Run,
    app: object,
    admin: TestClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    enrol(app, admin)  # type: ignore[arg-type]
    plan, profile, table = (tmp_path / f"{name}.json" for name in ("plan", "profile", "table"))
    run("plan", "--device", "board", "--channels", "4", "--cells", "3", "-o", plan)
    measured(plan, profile, 1000)
    run("profiles", "import", profile, "--device", "board")
    table_id = run("tables").split()[0]
    assert "withdrawn" not in run("tables", "report", table_id)
    run("devices", "withdraw", "board")
    for words in (("report", "board"), ("export", "board", "-o", table), ("probes", "board")):
        assert "every table of device board was withdrawn" in run("tables", *words, status=1)
    assert not table.exists()
    assert "warning: version 1 was withdrawn at 20" in run("tables", "report", table_id)
    assert "warning: version 1 was withdrawn at 20" in run(
        "tables", "export", table_id, "-o", table
    )
    assert table.exists()
    monkeypatch.setattr("service.client.client._PAGE", 40)
    kept = run("devices", "quarantined", "board").splitlines()
    assert len(set(kept)) == len(kept) == len(read_plan(plan).operators) > 80
