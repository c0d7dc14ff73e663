"""From a table file to the table of a board that was only probed, by commands, without a server."""

from dataclasses import replace
from pathlib import Path

from latency.exchange.profile_file import read_plan, write_profile
from latency.exchange.table_file import read_table, write_table
from latency.report.new_board import probe_plan
from latency.table import TRANSFERRED
from tests.latency.report.test_new_board import KNOWN, OTHER, probed
from tests.service.cli.test_cli import run


def test_a_board_is_probed_and_gets_a_table(tmp_path: Path) -> None:
    write_table(tmp_path / "known.json", KNOWN)
    planned = run(tmp_path, "tables", "probes", "known.json", "--count", "6", "-o", "plan.json")
    assert (planned.returncode, planned.stderr) == (0, "")
    assert planned.stdout == "6 operators and 5 networks: plan.json\n"
    plan = read_plan(tmp_path / "plan.json")

    write_profile(tmp_path / "profile.json", probed(plan, 2.0))
    made = run(tmp_path, "tables", "transfer", "known.json", "profile.json", "-o", "new.json")
    assert (made.returncode, made.stderr) == (0, "")
    rows = len(KNOWN.table.rows)
    assert made.stdout.startswith(f"{rows} rows, of which 6 were measured there, mean error ")
    table = read_table(tmp_path / "new.json").table
    assert table.target == OTHER
    assert sum(row.method == TRANSFERRED for row in table.rows) == rows - 6

    judged = run(tmp_path, "tables", "report", "new.json")
    assert judged.returncode == 0
    assert "3 held-out networks" in judged.stdout
    changed = run(tmp_path, "tables", "drift", "known.json", "profile.json")
    assert changed.returncode == 0
    assert changed.stdout.splitlines()[-1].startswith("changed: ")


def test_what_is_wrong_is_said_and_nothing_is_written(tmp_path: Path) -> None:
    write_table(tmp_path / "known.json", KNOWN)
    many = run(tmp_path, "tables", "probes", "known.json", "--count", "1000")
    assert many.returncode == 1
    assert "count must be from 1 to" in many.stderr
    absent = run(tmp_path, "tables", "transfer", "known.json", "absent.json")
    assert absent.returncode == 1
    assert "absent.json: No such file or directory" in absent.stderr
    assert "Traceback" not in many.stderr + absent.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["known.json"]


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    write_table(tmp_path / "known.json", KNOWN)
    found = probed(probe_plan(KNOWN, 6), 2.0)
    first, *others = found.operators
    assert first.samples is not None
    still = replace(first.samples, short_ns=(7,) * len(first.samples.short_ns))
    wrong = replace(found, operators=(replace(first, samples=still), *others))
    write_profile(tmp_path / "profile.json", wrong)
    for words in (("drift",), ("transfer", "-o", "new.json")):
        said = run(tmp_path, "tables", words[0], "known.json", "profile.json", *words[1:])
        assert said.returncode == 0
        assert "warning: 1 measurements are not used:" in said.stderr
        assert f"  {first.spec.label()}: all samples are identical" in said.stderr
