"""Two searches of one configuration in turns: ours, and the straightforward one.

Both train in one process, step by step in turns, from equal weights, masks and architecture
parameters: every stage of every round begins with a copy of ours, and before its figures count both
must answer alike.
"""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from benchmarks.plain_copy import copy_supernet
from benchmarks.plain_search import PlainSearch
from latency.host_lock import measuring
from latency.operator import SparsityPattern
from latency.units import NS_PER_MS
from search.engine.recipes import SearchRecipe
from search.engine.schedule import Stage
from search.engine.search_loop import SearchData, SearchLoop
from search.engine.search_run import SearchRun
from search.problems.choice import problem_of
from search.requests import DatasetRef, SearchRequest
from search.space.task import TaskShape
from search.supernet.supernet import Supernet

DENSITY = 0.2  # of the exported network, whose channels are those of the supernet here
OURS, PLAIN, UNROLLED = "ours", "plain", "plain, second order"
_AGREEMENT = 1e-3  # of the largest answer; sums of many products differ by their order


@dataclass(frozen=True, kw_only=True)
class Contest:
    """One size of search: what is trained on what."""

    name: str
    recipe: SearchRecipe
    data: SearchData
    task: TaskShape
    half: int  # images of each half of the whole data set, which epochs are counted with


@dataclass(frozen=True, kw_only=True)
class Times:
    """What one contestant took in one round of a stage, milliseconds."""

    enter: float
    weight: float  # one step, median
    alpha: float
    finish: float

    def epoch(self, steps: int, alpha_steps: int) -> float:
        """Return the time of a whole epoch."""
        return self.enter + steps * self.weight + alpha_steps * self.alpha + self.finish


Rounds = dict[Stage, dict[str, list[Times]]]  # by contestant, one a round


class OurSearch(SearchLoop):
    """Our search, step by step."""

    def enter(self, stage: Stage) -> None:
        """Begin an epoch of a stage; the recipe has one epoch of each."""
        self.run.epoch = list(Stage).index(stage)
        self.stage = self._enter_epoch()
        self._weights = _chained(lambda: self._weight_batches(self._steps_per_epoch()))
        self._alphas = self._alpha_batches()

    def weight_step(self) -> float:
        """Step weights or scores; return the loss."""
        return self._weight_step(self.stage, 0.0, *next(self._weights))

    def alpha_step(self) -> None:
        """Step the alphas."""
        self._alpha_step(*next(self._alphas), 0.0)

    def finish(self) -> float:
        """Return the accuracy on images of the alpha half: the end of an epoch."""
        return self.accuracy()


def measure(
    contest: Contest,
    rounds: int,
    steps: int,
    *,
    second_order: bool,
    stages: Sequence[Stage] = tuple(Stage),
) -> Rounds:
    """Return what each contestant took, round by round.

    Args:
        contest: who trains what.
        rounds: that count; an untimed one of the first stage comes before.
        steps: of each kind in a stage of a round.
        second_order: whether the rival takes such architecture steps too.
        stages: in order, the first ones of the three.

    Raises:
        SystemExit: the two networks answer differently.
    """
    torch.manual_seed(0)
    ours = our_search(contest)
    plain = PlainSearch(contest.recipe, contest.data, contest.task)
    found: Rounds = {stage: {} for stage in stages}
    for number in range(-1, rounds):
        for stage in stages if number >= 0 else stages[:1]:
            times = _round(ours, plain, stage, steps, second_order=second_order)
            for label, value in times.items() if number >= 0 else ():
                found[stage].setdefault(label, []).append(value)
    return found


def our_search(contest: Contest) -> OurSearch:
    """Return our search at its beginning, with an epoch for each stage."""
    recipe = replace(contest.recipe, dense_epochs=1, scores_epochs=1, masked_epochs=1)
    request = SearchRequest(
        dataset=DatasetRef(format="digits"),
        channels=recipe.supernet_channels,
        cells=recipe.supernet_cells,
        density=DENSITY,
        budget_ms=1.0,
        pattern=SparsityPattern.UNSTRUCTURED,  # the only one that the rival has
    )
    run = SearchRun(problem_of(request, contest.task), recipe)
    return OurSearch(run, recipe, contest.data, None)


def _round(
    ours: OurSearch,
    plain: PlainSearch,
    stage: Stage,
    steps: int,
    *,
    second_order: bool,
) -> dict[str, Times]:
    contestants: dict[str, OurSearch | PlainSearch] = {OURS: ours, PLAIN: plain}
    enter = {label: _ms(lambda c=c: c.enter(stage)) for label, c in contestants.items()}  # type: ignore[misc]
    check_agreement(ours, plain)
    seen: dict[str, list[float]] = {}
    for _ in range(steps):
        with measuring():
            for label, contestant in contestants.items():
                seen.setdefault(f"{label} weight", []).append(_ms(contestant.weight_step))
            for label, contestant in contestants.items():
                seen.setdefault(f"{label} alpha", []).append(_ms(contestant.alpha_step))
            if second_order:
                seen.setdefault(UNROLLED, []).append(_ms(plain.unrolled_alpha_step))
    times = {
        label: Times(
            enter=enter[label],
            weight=statistics.median(seen[f"{label} weight"]),
            alpha=statistics.median(seen[f"{label} alpha"]),
            finish=_ms(contestant.finish),
        )
        for label, contestant in contestants.items()
    }
    if second_order:
        times[UNROLLED] = replace(times[PLAIN], alpha=statistics.median(seen[UNROLLED]))
    return times


@torch.no_grad()
def check_agreement(ours: OurSearch, plain: PlainSearch) -> None:
    """Give the rival our weights, masks and alphas, and see that both are the same function.

    Raises:
        SystemExit: their answers differ.
    """
    supernet = ours.run.supernet
    assert isinstance(supernet, Supernet)
    copy_supernet(supernet, plain.network)
    tables = list(ours.run.alphas.parameters())
    for alpha, table in zip(plain.alphas, tables, strict=True):
        alpha.copy_(table)
    images = ours.data.weights.images[: ours.recipe.batch_size]
    expected: Tensor = supernet(images, *(torch.softmax(table, dim=1) for table in tables))
    error = float((plain.logits(images) - expected).abs().max() / expected.abs().max())
    if not error <= _AGREEMENT:
        raise SystemExit(f"{plain.stage} stage: the two supernets differ by {error:.1e}")


def _chained(
    epoch: Callable[[], Iterator[tuple[Tensor, Tensor]]],
) -> Iterator[tuple[Tensor, Tensor]]:
    return itertools.chain.from_iterable(epoch() for _ in itertools.count())


def _ms(run: Callable[[], object]) -> float:
    """Return the processor time of this thread, which does everything: no pause is in it."""
    start = time.thread_time_ns()
    run()
    return (time.thread_time_ns() - start) / NS_PER_MS
