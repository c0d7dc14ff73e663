"""What each remedy and each option of the search is worth: `make bench-ablations`.

One line for the recipe `quick` as it is, one with each option, one for each other way of the final
training, and one with each remedy taken away. All search the space of a measured latency table
(`make bench-latency` writes one) on digits of 16x16 pixels, under the same budget and density, in as
many epochs, and train what they find. Accuracy is that on all test images, counted once. Several
seeds tell luck from effect: the spread is from the lowest to the highest, the difference the mean over
pairs of one seed. `light` is the share of skips and pools among the edges that the alphas alone say:
where it is near one, the search has collapsed.

A finished line is in the file and not run again, one that was stopped goes on from its last epoch.
"""

import argparse
import hashlib
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.ablation_campaign import Campaign, Line, Outcome, Protocol
from latency.codec import decode
from latency.files import write_atomic
from latency.table import LatencyTable
from search.data.datasets import load_dataset
from search.engine.ablations import ABLATIONS, OPTIONS, REMEDIES
from search.engine.recipes import RECIPES
from search.finalize.schedule import TRAIN_SCHEDULES, Pruner
from search.requests import DatasetRef
from search.space.sparsity import Allocation, MaskRule

OUTPUT = Path("local") / "ablations.json"
TABLE = Path("local") / "table-dass-cells.json"
DATASET = DatasetRef(format="digits", image_size=16)
FULL = "full"
_SEARCH, _TRAINING = RECIPES["quick"], TRAIN_SCHEDULES["quick"]

# Fields of the final training's schedule, by the name of their line: its options, and the published
# way of pruning.
TRAININGS: dict[str, dict[str, Any]] = {
    "soft-masks": {"mask_rule": MaskRule.SOFT},
    "envelope-masks": {"mask_rule": MaskRule.ENVELOPE},
    "trained-scores": {"pruner": Pruner.SCORES},
    "density-per-layer": {"allocation": Allocation.PER_LAYER},
    "density-at-once": {"annealed": False},
}

LINES = {
    FULL: Line(recipe=_SEARCH, schedule=_TRAINING),
    **{
        f"with-{name}": Line(recipe=ABLATIONS[f"with-{name}"], schedule=_TRAINING)
        for name in OPTIONS
    },
    **{
        f"train-{name}": Line(recipe=_SEARCH, schedule=replace(_TRAINING, **fields))
        for name, fields in TRAININGS.items()
    },
    **{
        f"without-{name}": Line(recipe=ABLATIONS[f"without-{name}"], schedule=_TRAINING)
        for name in REMEDIES
    },
}


def chosen_lines(only: str) -> dict[str, Line]:
    """Return the lines whose name has `only` in it, and the full one, which all are compared with."""
    return {name: line for name, line in LINES.items() if only in name or name == FULL}


def run_missing(
    campaign: Campaign, lines: Mapping[str, Line], seeds: int, output: Path
) -> Iterator[Outcome]:
    """Yield the outcome of every line and seed: from the file where it is there, else run now."""
    known = {
        (found.line, found.settings, found.seed): found
        for found in read_outcomes(output)
        if found.protocol == campaign.protocol
    }
    for seed in range(seeds):
        for name, line in lines.items():
            outcome = known.get((name, line.digest, seed))
            if outcome is None:
                outcome = campaign.run(name, line, seed)
                add_outcome(output, outcome)
            yield outcome


def read_outcomes(path: Path) -> list[Outcome]:
    """Return the finished lines of a file, or none where there is no file."""
    if not path.exists():
        return []
    return [_outcome(values) for values in json.loads(path.read_bytes())]


def add_outcome(path: Path, outcome: Outcome) -> None:
    """Write the file with one more line, whole."""
    found = [asdict(known) for known in (*read_outcomes(path), outcome)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(found, indent=1).encode())


def _outcome(values: dict[str, Any]) -> Outcome:
    protocol = values["protocol"]
    dataset = DatasetRef(**protocol["dataset"])
    return Outcome(**{**values, "protocol": Protocol(**{**protocol, "dataset": dataset})})


def table_rows(outcomes: Sequence[Outcome]) -> list[str]:
    """Return a line of text for each line of the campaign, in their order, with a heading."""
    by_line: dict[str, dict[int, Outcome]] = {}
    for outcome in outcomes:
        by_line.setdefault(outcome.line, {})[outcome.seed] = outcome
    full = by_line.get(FULL, {})
    heading = f"{'line':28}{'seeds':>6}{'accuracy':>10}{'spread':>8}{'to full':>9}"
    rows = [f"{heading}{'ms':>9}{'of budget':>11}{'light':>7}{'minutes':>9}"]
    for name, found in by_line.items():
        accuracies = [one.accuracy for one in found.values()]
        pairs = [one.accuracy - full[s].accuracy for s, one in found.items() if s in full]
        difference = f"{statistics.mean(pairs):+9.2%}" if pairs and name != FULL else f"{'':9}"
        budget = statistics.mean(one.high_ms / one.budget_ms for one in found.values())
        minutes = statistics.mean(o.search_minutes + o.train_minutes for o in found.values())
        rows.append(
            f"{name:28}{len(found):6}{statistics.mean(accuracies):10.2%}"
            f"{max(accuracies) - min(accuracies):8.2%}{difference}"
            f"{statistics.mean(one.latency_ms for one in found.values()):9.4f}{budget:11.0%}"
            f"{statistics.mean(one.light for one in found.values()):7.0%}{minutes:9.1f}"
        )
    return rows


def main() -> None:
    """Run what is missing and print the table."""
    options = _parse()
    if not options.table.exists():
        print(
            f"SKIPPED: nothing was compared. There is no table {options.table}: `make "
            "bench-latency` measures one, --table names another."
        )
        return
    torch.set_num_threads(options.threads)
    text = options.table.read_bytes()
    protocol = Protocol(
        dataset=DATASET,
        table=hashlib.sha256(text).hexdigest(),
        channels=options.channels,
        cells=options.cells,
        density=options.density,
        budget_share=options.budget_share,
    )
    work = options.output.parent / "ablations"
    table = decode(text, LatencyTable)
    campaign = Campaign(protocol, table, load_dataset(DATASET), work)
    lines = chosen_lines(options.only)
    print(
        f"{table.target.label()}\n{len(lines)} lines, {options.seeds} seeds, budget "
        f"{campaign.budget_ms:.4f} ms, density {protocol.density:g}"
    )
    outcomes = []
    for outcome in run_missing(campaign, lines, options.seeds, options.output):
        outcomes.append(outcome)
        print(f"{outcome.line}, seed {outcome.seed}: {outcome.accuracy:.2%}", flush=True)
    print("\n" + "\n".join(table_rows(outcomes)))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, default=TABLE, help="of cells, as measured")
    parser.add_argument("--only", default="", help="lines with this in their name")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--channels", type=int, default=16, help="of the table")
    parser.add_argument("--cells", type=int, default=5, help="of the table")
    parser.add_argument("--density", type=float, default=0.2)
    parser.add_argument("--budget-share", type=float, default=0.4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    return parser.parse_args()


if __name__ == "__main__":
    main()
