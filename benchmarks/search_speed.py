"""How fast is an epoch of the search, beside a straightforward one? `make bench-search`.

The rival (`plain_dass`, `plain_search`) is the same supernet, written as the papers tell it. Both
train in one process with one thread, in turns step by step, from equal weights: before any figure
counts, both must answer alike. Times are processor time of that thread: a training waits for
nothing, and what else runs on the machine does not count. A ratio is taken inside of each round;
the figure is the median over the rounds with the 95 % interval of a bootstrap. A step includes
making its batch. An epoch is as many steps as its data have batches, and its beginning and end; the
parts are measured, the sum is computed. There is no latency term on either side: the rival has
none. The second order is the rival with the architecture steps that the paper runs; ours are first
order in any case.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.bars import SEARCH_EPOCH, Verdict, print_verdicts, verdict_documents
from benchmarks.rounds import Ratio, ratio_of
from benchmarks.search_contest import OURS, PLAIN, Contest, Rounds, Times, measure
from latency.profiler.device import current_target
from search.data.batches import Examples
from search.data.datasets import load_dataset
from search.engine.recipes import RECIPES
from search.engine.schedule import Stage, stage_of
from search.engine.search_loop import SearchData
from search.engine.search_stage import search_halves
from search.requests import DatasetRef
from search.space.task import CIFAR10

OUTPUT = Path("local") / "search_speed.json"
CIFAR_HALF = 25_000  # images in each half of its training set
PARTS = ("enter", "weight", "alpha", "finish")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=sorted(_SIZES), nargs="+", default=sorted(_SIZES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, help="a round; default: 4 where they are short, or 1")
    parser.add_argument("--second-order", action="store_true", help="of the rival, too")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    label = current_target(1).label()
    print(f"{label}, torch {torch.__version__}, one thread")
    documents, verdicts = [], []
    for size in options.size:
        contest, steps = _SIZES[size]()
        found = measure(
            contest, options.rounds, options.steps or steps, second_order=options.second_order
        )
        figures = compare(contest, found)
        _print(contest, found, figures)
        verdicts.append(_verdict(contest, figures["search"][PLAIN]))
        documents.append(_document(contest, found, figures))
    print_verdicts(verdicts)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    document = {"target": label, "sizes": documents, "bars": verdict_documents(verdicts)}
    options.output.write_text(json.dumps(document, indent=1))
    print(f"written to {options.output}")


def quick_contest() -> tuple[Contest, int]:
    """Return the search of the demo on the real digits, and the steps of a round."""
    dataset = load_dataset(DatasetRef(format="digits"))
    data = search_halves(dataset, seed=0)
    recipe = RECIPES["quick"]
    return Contest(
        name="quick", recipe=recipe, data=data, task=dataset.task, half=len(data.weights)
    ), 4


def standard_contest() -> tuple[Contest, int]:
    """Return the search of CIFAR-10 on random images: time does not care what they show."""
    generator = torch.Generator().manual_seed(0)
    halves = [
        Examples(
            images=torch.randn((256, *CIFAR10.input_shape), generator=generator),
            labels=torch.randint(0, CIFAR10.classes, (256,), generator=generator),
        )
        for _ in range(2)
    ]
    data = SearchData(weights=halves[0], alphas=halves[1])
    recipe = RECIPES["standard"]
    return Contest(name="standard", recipe=recipe, data=data, task=CIFAR10, half=CIFAR_HALF), 1


_SIZES = {"quick": quick_contest, "standard": standard_contest}


def compare(contest: Contest, found: Rounds) -> dict[str, dict[str, Ratio]]:
    """Return how many times as fast ours is: by what (a stage or `search`), then by rival."""
    rivals = [label for label in next(iter(found.values())) if label != OURS]
    whole = {label: _search_ms(contest, found, label) for label in [OURS, *rivals]}
    figures = {"search": {rival: ratio_of(whole[rival], whole[OURS]) for rival in rivals}}
    for stage, times in found.items():
        epochs = {label: _epochs_ms(contest, times[label]) for label in times}
        figures[stage.value] = {r: ratio_of(epochs[r], epochs[OURS]) for r in rivals}
    return figures


def _epochs_ms(contest: Contest, rounds: Sequence[Times]) -> list[float]:
    steps = contest.half // contest.recipe.batch_size
    alpha_steps = steps // contest.recipe.weights_per_alpha
    return [times.epoch(steps, alpha_steps) for times in rounds]


def _search_ms(contest: Contest, found: Rounds, label: str) -> list[float]:
    """Return the time of all epochs of the recipe, round by round."""
    steps = contest.half // contest.recipe.batch_size
    totals = [0.0] * len(found[Stage.DENSE][label])
    for epoch in range(contest.recipe.epochs):
        rests = epoch < contest.recipe.warmup_epochs
        alpha_steps = 0 if rests else steps // contest.recipe.weights_per_alpha
        times = found[stage_of(contest.recipe, epoch)[0]][label]
        totals = [a + t.epoch(steps, alpha_steps) for a, t in zip(totals, times, strict=True)]
    return totals


def _print(contest: Contest, found: Rounds, figures: dict[str, dict[str, Ratio]]) -> None:
    recipe, size = contest.recipe, contest.task.image_size
    print(
        f"\n{contest.name}: {recipe.supernet_channels} channels, {recipe.supernet_cells} cells, "
        f"batch {recipe.batch_size}, images of {size}x{size}; median ms\n"
        f"{'':30}" + "".join(f"{part:>9}" for part in PARTS) + f"{'epoch s':>10}   ours faster by"
    )
    for stage, contestants in found.items():
        for label, rounds in contestants.items():
            parts = [statistics.median(getattr(t, part) for t in rounds) for part in PARTS]
            seconds = statistics.median(_epochs_ms(contest, rounds)) / 1000
            ratio = "" if label == OURS else str(figures[stage.value][label])
            shown = "".join(f"{value:9.1f}" for value in parts)
            print(f"{stage.value:8}{label:22}{shown}{seconds:10.1f}   {ratio}")
    for rival, ratio in figures["search"].items():
        seconds = [statistics.median(_search_ms(contest, found, c)) / 1000 for c in (OURS, rival)]
        print(
            f"whole search, {recipe.epochs} epochs: {seconds[0]:.0f} s, {rival} {seconds[1]:.0f} s: "
            f"{ratio}"
        )


def _verdict(contest: Contest, ratio: Ratio) -> Verdict:
    return Verdict(
        what=f"search, {contest.name}: over a straightforward one",
        figure=ratio.value,
        interval=(ratio.low, ratio.high),
        bar=SEARCH_EPOCH.bar,
        stretch=SEARCH_EPOCH.stretch,
    )


def _document(
    contest: Contest, found: Rounds, figures: dict[str, dict[str, Ratio]]
) -> dict[str, object]:
    return {
        "name": contest.name,
        "recipe": asdict(contest.recipe),
        "task": asdict(contest.task),
        "rounds_ms": {
            stage.value: {label: [asdict(t) for t in rounds] for label, rounds in times.items()}
            for stage, times in found.items()
        },
        "ratios": {
            what: {rival: asdict(ratio) for rival, ratio in by_rival.items()}
            for what, by_rival in figures.items()
        },
    }


if __name__ == "__main__":
    main()
