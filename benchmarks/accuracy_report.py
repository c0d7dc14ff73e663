"""The files of a comparison, measured in turns, beside their accuracies."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rounds import Contender, Ratio, ratio, run_in_turns
from search.engine.checkpoint import read_result

SEARCHED = "searched"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A trained network as a file."""

    label: str
    model: Path
    accuracy: float  # on the whole test set
    nonzeros: int
    library: bool  # runs with the operator library


@dataclass(frozen=True, kw_only=True)
class Line:
    """An entry and how long it takes."""

    label: str
    accuracy: float
    nonzeros: int
    ms: float  # median over the rounds
    low_ms: float  # of the rounds
    high_ms: float
    slower: Ratio  # than the searched network: how many times as long it takes


def searched_entries(work: Path) -> list[Entry]:
    """Return the searched network and its controls, from the folder of the search."""
    trained, exported = read_result(work / "train.json"), read_result(work / "export.json")
    found = [
        Entry(
            label=SEARCHED,
            model=work / "model.onnx",
            accuracy=trained["accuracy"],
            nonzeros=trained["nonzeros"],
            library=exported["regime"] == "library",
        )
    ]
    if not (work / "controls.json").exists():
        return found
    controls = read_result(work / "controls.json")["controls"]
    return found + [_control(work, control) for control in controls if "path" in control]


def print_report(entries: Sequence[Entry], budget_ms: float, rounds: int) -> list[Line]:
    """Measure all files in turns, print a line for each and return them."""
    contenders = [
        Contender(label=entry.label, model=entry.model, library=entry.library) for entry in entries
    ]
    outcomes = run_in_turns(contenders, rounds)
    lines = [
        Line(
            label=entry.label,
            accuracy=entry.accuracy,
            nonzeros=entry.nonzeros,
            ms=outcomes[entry.label].ms,
            low_ms=min(outcomes[entry.label].median_ms),
            high_ms=max(outcomes[entry.label].median_ms),
            slower=ratio(outcomes[entry.label], outcomes[SEARCHED]),
        )
        for entry in entries
    ]
    print(f"\nbudget {budget_ms:.4f} ms; median (least-most) of {rounds} processes each")
    print(f"{'network':34}{'non-zeros':>11}{'accuracy':>10}{'ms':>26}{'times as long':>20}")
    for line in sorted(lines, key=lambda line: -line.accuracy):
        times = f"{line.ms:.4f} ({line.low_ms:.4f}-{line.high_ms:.4f})"
        count = f"{line.nonzeros:,}" if line.nonzeros else "-"
        print(f"{line.label:34}{count:>11}{line.accuracy:10.2%}{times:>26}{line.slower!s:>20}")
    return lines


def _control(work: Path, control: dict[str, object]) -> Entry:
    return Entry(
        label=f"control {control['name']}",
        model=work / str(control["path"]),
        accuracy=float(str(control["accuracy"])),
        nonzeros=0,
        library=control["regime"] == "library",
    )
