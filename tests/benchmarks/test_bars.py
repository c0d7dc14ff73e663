"""A verdict says which instruction set its bar was set on, and which one ran."""

import pytest

from benchmarks.bars import SET_ON, Verdict, print_verdicts, verdict_documents
from latency.kernels.library import instruction_set

VERDICTS = [Verdict(what="a ratio", figure=2.0, bar=3.0)]


def test_both_instruction_sets_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_verdicts(VERDICTS)
    last = capsys.readouterr().out.splitlines()[-1]
    assert SET_ON in last
    assert str(instruction_set()) in last


def test_both_instruction_sets_are_written() -> None:
    (document,) = verdict_documents(VERDICTS)
    assert document["verdict"] == "missed"
    assert (document["bar_set_on"], document["ran_on"]) == (SET_ON, instruction_set())
