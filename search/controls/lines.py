"""What controls.json says of a network and of what it has to beat."""

from typing import Any

from search.controls.bench import Control
from search.controls.verdict import Accuracies, judge


def control_line(control: Control, searched: Accuracies) -> dict[str, Any]:
    """Return what controls.json says of a control."""
    if control.accuracies is None:
        why = f"no control {control.name}: {control.facts['absent']}"
        return {"name": control.name, **control.facts, "verdict": why}
    verdict = judge(control.name, searched, control.accuracies)
    return {
        "name": control.name,
        **statistics_of(control.accuracies),
        "gained": verdict.gained,
        "uncertainty": verdict.uncertainty,
        "verdict": verdict.text(),
        **control.facts,
    }


def statistics_of(found: Accuracies) -> dict[str, Any]:
    """Return the accuracies of one network, their mean and their spread."""
    return {
        "accuracies": list(found.values),
        "accuracy": found.mean,
        "spread": found.spread,
    }
