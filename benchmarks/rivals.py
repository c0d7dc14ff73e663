"""The networks that a searched one has to beat at equal latency, and their files.

MobileNet-v2 and ResNet-18 in the form that the authors of DASS pruned, and their published 90 % cell,
at several widths: sparse in the operator library, dense and in int8 in stock ONNX Runtime. Which widths
are within a budget is measured, not predicted, on files with random weights. Time does not care what
weights are, but how many each layer keeps: sparse ones are pruned as trained ones will be.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import onnx

from benchmarks.timed_files import FileTime, time_files
from latency.library_form import library_form
from latency.lowering.build import build_model
from latency.lowering.compact import compact
from latency.lowering.quantize import quantized
from latency.lowering.weights import random_weights
from latency.operator import SparsityPattern
from search.export.export import sparse_genotype
from search.export.fold import fold_weights, weight_source
from search.finalize.prune import apply_masks, prune
from search.finalize.run import Goal
from search.finalize.train import AnyNetwork, make_network
from search.space.networks import AnyGenotype, network_graph
from search.space.published import published_genotype
from search.space.rivals import RIVALS
from search.space.task import TaskShape

PATTERN = SparsityPattern.BLOCK
CELL = "dass-90"
_SEED = 0
_PROCESSES, _ROUNDS = 3, 40  # of a choice of widths; the widest take 20 ms a run
_CELL_WIDTHS = (4, 8, 12, 16, 24, 32)  # channels of the first of _CELLS cells
_CELLS = 8
_WIDTHS = tuple(step / 8 for step in range(1, 9))  # factors on all channels


class Form(StrEnum):
    """What a trained network runs as."""

    SPARSE = "sparse"  # in the operator library
    DENSE = "dense"  # in stock ONNX Runtime
    INT8 = "int8"  # the same, quantized


@dataclass(frozen=True, kw_only=True)
class Rival:
    """A network of one width in one form."""

    family: str  # CELL or a name of RIVALS
    width: float  # factor on its channels; channels of the first cell
    form: Form
    density: float = 1.0  # of the weights that are kept

    @property
    def label(self) -> str:
        """Such as `resnet-18 x0.25 sparse 10 %`."""
        kept = f" {self.density:.0%}" if self.form is Form.SPARSE else ""
        return f"{self.trained_as.rsplit('-d', 1)[0]} {self.form}{kept}"

    @property
    def trained_as(self) -> str:
        """Name of the training that it needs; dense and int8 share one."""
        return f"{self.family}-x{self.width:g}-d{self.density:g}"

    @property
    def genotype(self) -> AnyGenotype:
        """The network, every weight kept."""
        if self.family == CELL:
            return replace(published_genotype(90), channels=round(self.width), cells=_CELLS)
        return RIVALS[self.family](self.width)


@dataclass(frozen=True, kw_only=True)
class Timed:
    """A rival and what its file with random weights took."""

    rival: Rival
    ms: float


def candidates(density: float) -> list[Rival]:
    """Return every rival whose latency is to be measured."""
    found = [
        Rival(family=CELL, width=width, form=Form.SPARSE, density=density) for width in _CELL_WIDTHS
    ]
    for family in RIVALS:
        for form in Form:
            kept = density if form is Form.SPARSE else 1.0
            found += [
                Rival(family=family, width=width, form=form, density=kept) for width in _WIDTHS
            ]
    return found


def time_widths(
    rivals: Sequence[Rival],
    task: TaskShape,
    folder: Path,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, FileTime]:
    """Return how long each rival takes with random weights, by label."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {rival.label: random_file(rival, task, folder) for rival in rivals}
    times = time_files(files, _PROCESSES, rounds=_ROUNDS)
    for label, time in times.items():
        say(f"  {label:32} {time} ms")
    return times


def random_file(rival: Rival, task: TaskShape, folder: Path) -> Path:
    """Return where the file of a rival with random weights was written."""
    path = folder / f"{rival.label.replace(' ', '-')}.onnx"
    if rival.form is Form.SPARSE:
        path.write_bytes(sparse_file(_pruned(rival, task)))
    else:
        model = build_model(network_graph(rival.genotype, task), random_weights(_SEED))
        onnx.save(quantized(model) if rival.form is Form.INT8 else model, path)
    return path


def _pruned(rival: Rival, task: TaskShape) -> AnyNetwork:
    """Return an untrained network at the density of the rival, spread over the layers by LAMP."""
    goal = Goal(density=rival.density, pattern=PATTERN, seed=_SEED)
    network = make_network(rival.genotype, task, goal)
    prune(network, rival.density)
    apply_masks(network)
    return network.eval()


def choose_rivals(timed: Iterable[Timed], budget_ms: float, *, slack: float = 1.0) -> list[Rival]:
    """Return the widest rival of each family and form that is within the budget.

    Args:
        timed: the rivals with their latencies.
        budget_ms: of the search.
        slack: so many times the budget is allowed.
    """
    widest: dict[tuple[str, Form], Rival] = {}
    for one in sorted(timed, key=lambda one: one.rival.width):
        if one.ms <= slack * budget_ms:
            widest[one.rival.family, one.rival.form] = one.rival
    return list(widest.values())


def sparse_file(network: AnyNetwork) -> bytes:
    """Return a trained sparse network in the operator library: no table, so nothing is priced."""
    full = network_graph(sparse_genotype(network), network.task)
    graph, weights = compact(full, fold_weights(network, full))
    graph = library_form(graph)
    return _bytes(build_model(graph, weight_source(weights)))


def dense_file(network: AnyNetwork) -> bytes:
    """Return a trained dense network for stock runtimes."""
    graph = network_graph(network.genotype, network.task)
    return _bytes(build_model(graph, weight_source(fold_weights(network, graph))))


def cheapest_ms(timed: Iterable[Timed]) -> dict[str, float]:
    """Return the latency of the narrowest network of each family and form."""
    found: dict[str, list[float]] = {}
    for one in timed:
        found.setdefault(f"{one.rival.family} {one.rival.form}", []).append(one.ms)
    return {name: min(values) for name, values in found.items()}


def _bytes(model: onnx.ModelProto) -> bytes:
    found: bytes = model.SerializeToString(deterministic=True)
    return found
