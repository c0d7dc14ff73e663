"""The commands around tables against a real server, from a plan to a picture."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from annotated_types import Ge, Le
from fastapi.testclient import TestClient

from latency import codec
from latency.exchange.profile_file import ProfileFile, read_plan, read_profile, write_profile
from latency.measurement import Conditions, OperatorMeasurement
from latency.report.values import TableReport
from search.compress.request import Distortion, Mapping
from search.space.sampling import random_genotype
from search.space.sparsity import MaskRule
from service.cli import shared
from service.profiling import schemas
from tests.service.board import enrol
from tests.service.client.commands import Run
from tests.service.samples import STARTED, conv, network_result, operator_result, target


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
    assert "11 of 11 networks taken" in second
    assert "quarantine" not in second
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
    run("tables", "export", "board", "-o", tmp_path / "before.json")
    genotype = tmp_path / "genotype.json"
    genotype.write_text(random_genotype(np.random.default_rng(0), 4, 3).to_json())
    assert "table version 1" in run("predict", genotype, "--device", "board")
    run("devices", "withdraw", "board")
    assert "Every latency table of this device was withdrawn (1 of 1" in run(
        "predict", genotype, "--device", "board", status=1
    )
    # What was exported before brings nothing back, and says why.
    refused = run("tables", "import", tmp_path / "before.json", status=1)
    assert "Nothing of this file was taken" in refused
    assert "withdrawn: these are samples of board" in refused
    for words in (("report", "board"), ("export", "board", "-o", table), ("probes", "board")):
        assert "every table of device board was withdrawn" in run("tables", *words, status=1)
    assert not table.exists()
    assert "warning: version 1 was withdrawn at 20" in run("tables", "report", table_id)
    assert "warning: version 1 was withdrawn at 20" in run(
        "tables", "export", table_id, "-o", table
    )
    assert table.exists()
    report = codec.decode(run("tables", "report", table_id, "--json").splitlines()[-1], TableReport)
    assert report.withdrawn_at is not None
    for looking in (("report", table), ("diff", table, tmp_path / "before.json")):
        looked_at = run("tables", *looking)
        assert f"warning: {table} was withdrawn at {report.withdrawn_at}" in looked_at
        assert "WITHDRAWN" in looked_at
    assert "table.json: this table was withdrawn at" in run("tables", "import", table, status=1)
    monkeypatch.setattr("service.client.client._PAGE", 40)
    kept = run("devices", "quarantined", "board").splitlines()
    assert len(set(kept)) == len(kept) == len(read_plan(plan).operators) > 80


def still(measured: OperatorMeasurement) -> OperatorMeasurement:
    """As by a clock that stands still."""
    assert measured.samples is not None
    return replace(measured, samples=replace(measured.samples, short_ns=(5_000,) * 15))


def test_an_import_says_what_was_taken_and_what_was_not(
    run: Run, app: object, admin: TestClient, tmp_path: Path
) -> None:
    enrol(app, admin)  # type: ignore[arg-type]
    plan, path = tmp_path / "plan.json", tmp_path / "profile.json"
    run("plan", "--device", "board", "--channels", "4", "--cells", "3", "-o", plan)
    measured(plan, path, 1000)
    good = read_profile(path)
    count = len(good.operators)
    wrong = tuple(map(still, good.operators[:12]))
    write_profile(path, replace(good, operators=(*wrong, *good.operators[12:])))
    said = run("profiles", "import", path, "--device", "board")
    assert f"{count - 12} of {count} operators and 12 of 12 networks taken" in said
    assert "12 in quarantine, in no table:" in said
    assert f"  {wrong[0].spec.label()}, of board: " in said
    assert 'and 2 more: `edgewright devices quarantined "board"`' in said
    versions = run("tables")
    write_profile(path, replace(good, operators=tuple(map(still, good.operators))))
    refused = run("profiles", "import", path, "--device", "board", status=1)
    assert f"0 of its {count} operators and 12 of its 12 networks can be used" in refused
    assert run("tables") == versions


def test_samples_that_are_no_times_are_named_with_their_file(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    first, second = operator_result(conv(4)), operator_result(conv(8))
    assert second.samples is not None
    below = replace(second.samples, short_ns=(-5, *second.samples.short_ns[1:]))
    write_profile(
        path,
        ProfileFile(
            target=target(),
            conditions=Conditions(started_at=STARTED),
            operators=(first, replace(second, samples=below)),
            networks=(),
        ),
    )
    refused = run("profiles", "import", path, "--device", "board", status=1)
    assert (
        "profile.json: samples that no clock gives: $.operators[1].samples.short_ns[0]" in refused
    )
    assert f"{conv(8).label()} must be from 1 to 10000000000000 ns, got -5" in refused


def test_options_say_what_they_allow_and_what_they_need(run: Run) -> None:
    for words, allowed in (
        (
            ("plan", "--device", "board", "--rows", "10"),
            "'--rows': must be from 50 to 300, got 10",
        ),
        (
            ("plan", "--device", "x", "--held-out", "0"),
            "'--held-out': must be from 1 to 200, got 0",
        ),
        (
            ("profile", "--device", "x", "--channels", "2"),
            "'--channels': must be from 4 to 1024",
        ),
        (("profile", "--device", "x", "--cells", "2"), "'--cells': must be from 3 to 64"),
        (
            ("tables", "report", "x", "--space", "nosuch"),
            "'nosuch' is not one of 'dass-cells', 'stages'",
        ),
        (
            ("plan", "--device", "x", "--pattern", "y"),
            "'y' is not one of 'unstructured', 'block'",
        ),
    ):
        assert allowed in " ".join(run(*words, status=2).replace("│", " ").split())
    for option, value in (("--space", "stages"), ("--cells", "5"), ("--pattern", "block")):
        refused = run("tables", "report", "board", option, value, status=1)
        assert f"{option}: of no use without --dataset" in refused


def test_the_limits_of_the_command_line_are_those_of_the_service() -> None:
    for limits, shape in (
        (shared.ROWS, schemas.Rows),
        (shared.HELD_OUT, schemas.HeldOut),
        (shared.CHANNELS, schemas.Channels),
        (shared.CELLS, schemas.Cells),
    ):
        allowed = {type(limit): limit for limit in get_args(shape)[1].metadata}
        assert limits == (allowed[Ge].ge, allowed[Le].le)
    assert get_args(shared.SpaceName) == get_args(schemas.SpaceName)
    assert get_args(shared.PatternName) == get_args(schemas.Pattern)
    for names, members in (
        (shared.DistortionName, Distortion),
        (shared.MappingName, Mapping),
        (shared.MaskRuleName, MaskRule),
    ):
        assert list(get_args(names)) == [member.value for member in members]
    assert shared.DEFAULT_ROWS == schemas.DEFAULT_ROWS
    assert shared.DEFAULT_HELD_OUT == schemas.DEFAULT_HELD_OUT


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "genotype.json: No such file or directory"),
        ("{", "genotype.json: not JSON"),
        ("[1]", "it must be an object with the key normal (cells), stages"),
        ("{}", "it must be an object with the key normal (cells), stages"),
        ('{"normal": []}', "reduce, channels, cells missing; a genotype of cells has the keys"),
        ('{"stages": []}', "stem missing; a genotype of stages has the keys stem, stages"),
    ],
)
def test_a_wrong_genotype_file_is_named_with_what_is_allowed(
    run: Run, tmp_path: Path, text: str | None, message: str
) -> None:
    path = tmp_path / "genotype.json"
    if text is not None:
        path.write_text(text)
    refused = run("predict", path, "--device", "board", status=1)
    assert message in refused
    assert "Errno" not in refused
