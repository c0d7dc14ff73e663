"""The files of a comparison, measured together, beside their accuracies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rounds import Ratio
from benchmarks.timed_files import FileTime, fastest_reference_ns, time_files, time_ratio
from latency.units import NS_PER_US
from search.engine.checkpoint import read_result

SEARCHED = "searched"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A trained network as a file."""

    label: str
    model: Path
    accuracy: float  # on the whole test set
    nonzeros: int


@dataclass(frozen=True, kw_only=True)
class Line:
    """An entry and how long it takes."""

    label: str
    accuracy: float
    nonzeros: int
    time: FileTime
    slower: Ratio  # than the network in question: how many times as long it takes


def searched_entries(work: Path) -> list[Entry]:
    """Return the searched network and its controls, from the folder of the search."""
    trained = read_result(work / "train.json")
    found = [
        Entry(
            label=SEARCHED,
            model=work / "model.onnx",
            accuracy=trained["accuracy"],
            nonzeros=trained["nonzeros"],
        )
    ]
    if not (work / "controls.json").exists():
        return found
    controls = read_result(work / "controls.json")["controls"]
    return found + [control_entry(work, control) for control in controls if "path" in control]


def print_report(
    entries: Sequence[Entry], budget_ms: float, processes: int, references_ns: Sequence[float]
) -> list[Line]:
    """Measure all files, print a line for each and return them.

    The first entry is the network in question, that all others are compared with.

    `references_ns`: the reference model when the budget was measured; the same state is waited for.
    """
    files = {entry.label: entry.model for entry in entries}
    times = time_files(files, processes, references_ns)
    lines = [
        Line(
            label=entry.label,
            accuracy=entry.accuracy,
            nonzeros=entry.nonzeros,
            time=times[entry.label],
            slower=time_ratio(times[entry.label], times[entries[0].label]),
        )
        for entry in entries
    ]
    reference_us = fastest_reference_ns(times) / NS_PER_US
    print(
        f"\nbudget {budget_ms:.4f} ms; median (least-most) of {processes} processes each; ", end=""
    )
    print(f"reference model {reference_us:.1f} us at its best")
    print(f"{'network':34}{'non-zeros':>11}{'accuracy':>10}{'ms':>36}{'times as long':>20}")
    for line in sorted(lines, key=lambda line: -line.accuracy):
        count = f"{line.nonzeros:,}" if line.nonzeros else "-"
        print(
            f"{line.label:34}{count:>11}{line.accuracy:10.2%}{line.time!s:>36}{line.slower!s:>20}"
        )
    return lines


def control_entry(work: Path, control: Mapping[str, object]) -> Entry:
    """Return a control, from its line in controls.json."""
    return Entry(
        label=f"control {control['name']}",
        model=work / str(control["path"]),
        accuracy=float(str(control["accuracy"])),
        nonzeros=0,
    )
