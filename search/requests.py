"""What a search is asked to do, as plain values that the trainer reads from JSON. No torch."""

import math
from dataclasses import dataclass
from typing import Any

from latency.operator import SparsityPattern
from latency.table import LatencyTable
from search.space.networks import NARROWEST, read_genotype
from search.space.planned_space import PlannedSpace
from search.space.sparsity import Sparsity
from search.space.stage_space import StageSpace
from search.space.task import TaskShape

DATASET_FORMATS = ("digits", "image-folder", "cifar10-binary", "cifar10-python", "npz")
PUBLISHED_RECIPE = "dass-paper"
RECIPE_NAMES = ("tiny", "quick", "standard", "cpu", "gpu", PUBLISHED_RECIPE)
SPACE_NAMES = ("dass-cells", "stages")
STRATEGY_NAMES = ("evolution", "random")
# Who says what becomes of each layer: one pattern and one density for the network, or the prices of
# a table, each layer its own. "auto" is "budget" where zeros buy time on the one device: then what
# is derived and what is exported are predicted to be within the same budget.
DENSITY_RULES = ("auto", "planned", "budget")

MIN_CELLS = 3  # fewer leave no room for a normal cell beside the two reductions
MAX_CELLS = 64
MIN_CHANNELS = NARROWEST
MAX_CHANNELS = 1024
MAX_SEED = 2**32 - 1
MAX_SEEDS = 10
MAX_DEVICES = 8
MIN_FRONT, DEFAULT_FRONT, MAX_FRONT = 2, 6, 12


@dataclass(frozen=True, kw_only=True)
class DatasetRef:
    """Where the images are and how they are laid out.

    Raises:
        ValueError: unknown format, a path that is missing or superfluous, or a size out of range.
    """

    format: str  # one of DATASET_FORMATS
    path: str = ""  # folder or file; empty for the built-in `digits`
    image_size: int | None = None  # pixels per side after resizing; None keeps what is there

    def __post_init__(self) -> None:
        if self.format not in DATASET_FORMATS:
            raise ValueError(
                f"dataset: unknown format {self.format!r}; allowed: {list(DATASET_FORMATS)}"
            )
        if bool(self.path) == (self.format == "digits"):
            wanted = "takes no path" if self.path else "needs a path"
            raise ValueError(f"dataset: format {self.format!r} {wanted}")
        size = self.image_size
        if size is not None and (not 8 <= size <= 512 or size % 4):
            raise ValueError(
                f"dataset: image_size must be a multiple of 4 from 8 to 512, got {size}"
            )


@dataclass(frozen=True, kw_only=True)
class DeviceBudget:
    """What one image may take on a device.

    Raises:
        ValueError: a field is out of range; the message names it.
    """

    device: str  # what results and messages call it
    budget_ms: float
    tighten: float = 1.0  # factor on the budget, below 1 after a network was measured too slow

    def __post_init__(self) -> None:
        on = f" of {self.device}" if self.device else ""
        if not (self.budget_ms > 0 and math.isfinite(self.budget_ms)):
            raise ValueError(f"search: budget_ms{on} must be above 0, got {self.budget_ms}")
        if not 0.0 < self.tighten <= 1.0:
            raise ValueError(
                f"search: tighten{on} must be above 0 and at most 1, got {self.tighten}"
            )

    @property
    def tightened_ms(self) -> float:
        """What the upper end of a predicted interval may be."""
        return self.budget_ms * self.tighten


@dataclass(frozen=True, kw_only=True)
class SearchRequest:
    """One search: data, size of the network to export, sparsity, latency budget, schedule.

    `budget_ms` and `tighten` are those of the first device, often the only one. One network is
    searched for it and the devices of `also`; every budget has to be kept.

    Raises:
        ValueError: a field is out of range; the message names it.
    """

    dataset: DatasetRef
    channels: int  # of the exported network: of the first cell, or of the stem before the stages
    density: float  # fraction of weights that the network is planned to keep
    budget_ms: float  # latency of one image on the target
    space: str = "dass-cells"  # one of SPACE_NAMES
    cells: int = 5  # of the exported network; networks of stages have none
    pattern: SparsityPattern = SparsityPattern.BLOCK  # that is planned for the layers
    densities: str = "auto"  # one of DENSITY_RULES; "budget": see `search.finalize.densities`
    seed: int = 0
    recipe: str = "quick"  # one of RECIPE_NAMES
    task: TaskShape | None = None  # what the data set must turn out to be; None: not known yet
    tighten: float = 1.0  # factor on the budget, below 1 after a network was measured too slow
    seeds: int = 1  # trainings of the network, and of each of its controls, that are compared
    device: str = ""  # what results call the first device; needed where there are others
    also: tuple[DeviceBudget, ...] = ()  # other devices that the same network is for
    specialise: bool = False  # leave out the operations that no device profits from
    front: int = DEFAULT_FRONT  # candidates that the stage `front` offers
    strategy: str = "evolution"  # one of STRATEGY_NAMES: how `front` looks beside the alphas
    genotype: dict[str, Any] | None = None  # trained in place of what a search derives; as JSON

    def __post_init__(self) -> None:
        _check_space(self.space)
        _check_range("channels", self.channels, MIN_CHANNELS, MAX_CHANNELS)
        _check_range("cells", self.cells, MIN_CELLS, MAX_CELLS)
        _check_range("seed", self.seed, 0, MAX_SEED)
        _check_range("seeds", self.seeds, 1, MAX_SEEDS)
        _check_range("front", self.front, MIN_FRONT, MAX_FRONT)
        if self.genotype is not None:
            read_genotype(self.genotype)
        if not 0.0 < self.density <= 1.0:
            raise ValueError(f"search: density must be above 0 and at most 1, got {self.density}")
        _check_devices(self.budgets)
        if self.also and self.densities == "budget":
            raise ValueError(
                "search: densities 'budget' are for one device only, "
                f"the request names {len(self.budgets)}"
            )
        if self.specialise and self.space != "dass-cells":
            raise ValueError(f"search: specialise is of dass-cells only, not of {self.space}")
        if self.pattern not in (SparsityPattern.UNSTRUCTURED, SparsityPattern.BLOCK):
            raise ValueError(
                f"search: pattern must be 'unstructured' or 'block', got {self.pattern.value!r}"
            )
        _check_choice("strategy", self.strategy, STRATEGY_NAMES)
        _check_choice("rule for densities", self.densities, DENSITY_RULES)
        _check_choice("recipe", self.recipe, RECIPE_NAMES)

    @property
    def tightened_ms(self) -> float:
        """What the upper end of a predicted interval may be on the first device."""
        return self.budgets[0].tightened_ms

    @property
    def budgets(self) -> tuple[DeviceBudget, ...]:
        """Of all devices, the first one first."""
        first = DeviceBudget(device=self.device, budget_ms=self.budget_ms, tighten=self.tighten)
        return (first, *self.also)

    @property
    def sparsity(self) -> Sparsity:
        """What is planned for every sparse layer."""
        return Sparsity(pattern=self.pattern, density=self.density)

    def planning_table(self, table: LatencyTable | None) -> LatencyTable | None:
        """Return the table that gives each layer a pattern and a density of its own.

        None: the layers are as this request plans them.

        Args:
            table: of the first device, if there is one.

        Raises:
            ValueError: a table is needed and there is none.
        """
        if self.densities == "auto":
            known = table is not None and table.library is not None and not self.also
            return table if known and self.recipe != PUBLISHED_RECIPE else None
        if self.densities == "planned":
            return None
        if table is None:
            raise ValueError(
                "search: densities 'budget' are chosen by the prices of a table, and none is "
                "given (--table); without one only 'planned' is possible"
            )
        return table

    @property
    def training_seeds(self) -> tuple[int, ...]:
        """Seeds of the trainings that are compared; the first is that of the search."""
        return tuple((self.seed + step) % (MAX_SEED + 1) for step in range(self.seeds))

    def search_space(self, task: TaskShape) -> PlannedSpace | StageSpace:
        """Return the networks that this search is about, for a task."""
        return table_space(self.space, self.channels, self.cells, task, self.sparsity)


def table_space(
    name: str, channels: int, cells: int, task: TaskShape, sparsity: Sparsity
) -> PlannedSpace | StageSpace:
    """Return the space of a search or of a table: only here names become spaces.

    Args:
        name: one of SPACE_NAMES.
        channels: of the first cell, or of the stem of a network of stages.
        cells: how many; networks of stages have none.
        task: image and classes.
        sparsity: what is planned.

    Raises:
        ValueError: there is no space of that name, or not of that size.
    """
    _check_space(name)
    if name == "stages":
        pattern, density = sparsity.pattern, sparsity.density
        return StageSpace(width=channels, task=task, pattern=pattern, density=density)
    return PlannedSpace(channels=channels, cells=cells, task=task, sparsity=sparsity)


def _check_devices(budgets: tuple[DeviceBudget, ...]) -> None:
    names = [one.device for one in budgets]
    if len(names) > 1 and (not all(names) or len(set(names)) < len(names)):
        raise ValueError(f"search: each of several devices needs a name of its own, got {names}")
    if len(names) > MAX_DEVICES:
        raise ValueError(f"search: at most {MAX_DEVICES} devices, got {len(names)}")


def _check_space(name: str) -> None:
    if name not in SPACE_NAMES:
        raise ValueError(f"space: must be one of {list(SPACE_NAMES)}, got {name!r}")


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"search: unknown {name} {value!r}; allowed: {list(allowed)}")


def _check_range(name: str, value: int, lowest: int, highest: int) -> None:
    if not lowest <= value <= highest:
        raise ValueError(f"search: {name} must be from {lowest} to {highest}, got {value}")
