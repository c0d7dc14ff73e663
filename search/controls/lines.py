"""What controls.json says of a network and of what it has to beat."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search.controls.bench import Control
from search.controls.verdict import Accuracies, judge
from search.engine.checkpoint import write_json
from search.engine.progress import Progress

RESULT = "controls.json"


def write_comparison(
    work: Path,
    name: str,
    network: Accuracies,
    controls: Sequence[Control],
    seeds: Sequence[int],
    progress: Progress,
) -> dict[str, Any]:
    """Write controls.json, and return what is in it.

    Args:
        work: where to.
        name: what the network is called there that has controls.
        network: what its trainings get right.
        controls: that it has to beat.
        seeds: of the trainings.
        progress: hears of every verdict.
    """
    lines = [_control_line(control, network) for control in controls]
    for line in lines:
        progress.report({"control": line["name"], "verdict": line["verdict"]})
    result = {
        "seeds": list(seeds),
        "test_images": network.test_images,
        name: _statistics_of(network),
        "controls": lines,
        "verdict": "; ".join(line["verdict"] for line in lines),
    }
    write_json(work / RESULT, result)
    return result


def _control_line(control: Control, searched: Accuracies) -> dict[str, Any]:
    """Return what controls.json says of a control."""
    if control.accuracies is None:
        why = f"no control {control.name}: {control.facts['absent']}"
        return {"name": control.name, **control.facts, "verdict": why}
    verdict = judge(control.name, searched, control.accuracies)
    return {
        "name": control.name,
        **_statistics_of(control.accuracies),
        "gained": verdict.gained,
        "uncertainty": verdict.uncertainty,
        "verdict": verdict.text(),
        **control.facts,
    }


def _statistics_of(found: Accuracies) -> dict[str, Any]:
    """Return the accuracies of one network, their mean and their spread."""
    return {
        "accuracies": list(found.values),
        "accuracy": found.mean,
        "spread": found.spread,
    }
