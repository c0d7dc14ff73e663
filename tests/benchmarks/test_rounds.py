import json
import sys
from pathlib import Path

import pytest

from benchmarks.alone import peak_kib
from benchmarks.bars import Verdict
from benchmarks.plot import plot_speed_up
from benchmarks.rounds import Contender, Outcome, ratio, run_in_turns
from latency.report.plots import Point


@pytest.fixture(autouse=True)
def own_host_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A measurement that runs on this machine meanwhile is not waited for."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def outcome(*median_ms: float) -> Outcome:
    return Outcome(label="x", median_ms=median_ms, peak_kib=(1024,), outputs=())


def test_ratio_is_taken_inside_of_rounds() -> None:
    """A drift that slows a whole round leaves no trace."""
    slow, fast = outcome(4.0, 8.0, 40.0), outcome(1.0, 2.0, 10.0)
    found = ratio(slow, fast)
    assert (found.value, found.low, found.high) == (4.0, 4.0, 4.0)


def test_interval_holds_the_ratio_and_widens_with_disagreement() -> None:
    steady = ratio(outcome(4.0, 4.1, 3.9, 4.0, 4.05), outcome(*[1.0] * 5))
    shaky = ratio(outcome(4.0, 8.0, 2.0, 4.0, 6.0), outcome(*[1.0] * 5))
    assert steady.low <= steady.value <= steady.high
    assert shaky.high - shaky.low > 10 * (steady.high - steady.low)


def test_processes_take_turns(tmp_path: Path) -> None:
    log, program = tmp_path / "log", tmp_path / "program.py"
    answer = {"median_ms": 1.0, "fastest_ms": 1.0, "runs": 1, "peak_kib": 2, "outputs": [0.5]}
    program.write_text(
        f"import sys\nopen({str(log)!r}, 'a').write(sys.argv[1])\n"
        f"print('noise')\nprint({json.dumps(answer)!r})\n"
    )
    contenders = [
        Contender(label=name, model=Path(name), program=(sys.executable, str(program)))
        for name in "ABC"
    ]
    outcomes = run_in_turns(contenders, rounds=2)
    assert log.read_text() == "ABCABC"
    assert outcomes["B"].median_ms == (1.0, 1.0)
    assert outcomes["B"].outputs == (0.5,)


def test_failed_process_is_named(tmp_path: Path) -> None:
    program = (sys.executable, "-c", "raise SystemExit('out of luck')")
    with pytest.raises(SystemExit, match=r"dense: ended with 1:\nout of luck"):
        run_in_turns([Contender(label="dense", model=tmp_path, program=program)], rounds=1)


def test_peak_memory_is_read_from_the_kernel(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmPeak:\t  900 kB\nVmHWM:\t   321 kB\nVmRSS:\t 12 kB\n")
    assert peak_kib(status) == 321


@pytest.mark.parametrize(("figure", "word"), [(3.9, "missed"), (4.0, "met"), (5.0, "stretch")])
def test_verdict(figure: float, word: str) -> None:
    assert Verdict(what="x", figure=figure, bar=4.0, stretch=5.0).word == word


@pytest.mark.parametrize(("figure", "word"), [(3.9, "met"), (4.1, "missed")])
def test_verdict_where_less_is_better(figure: float, word: str) -> None:
    assert Verdict(what="x", figure=figure, bar=4.0, at_most=True).word == word


def test_plot_shows_every_series(tmp_path: Path) -> None:
    points = [Point(percent=p, ratio=r, low=r, high=r) for p, r in ((80, 3.0), (90, 5.0))]
    path = tmp_path / "plots" / "speed.svg"
    plot_speed_up({"first": points, "second": points}, "title", path)
    text = path.read_text()
    assert text.count("first") >= 1
    assert text.count("second") >= 1
