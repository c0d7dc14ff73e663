"""JSON shapes of plans, tables and predictions."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, StringConstraints, Tag

from latency.operator import OperatorSpec, Regime, SparsityPattern
from latency.plan import MAX_ROWS
from latency.table import Calibration, PublishedError
from search.requests import MAX_CELLS, MAX_CHANNELS, MIN_CELLS, MIN_CHANNELS
from search.space.genotype import EDGES, NODES
from search.space.stage_genotype import (
    MAX_DEPTH,
    MAX_EXPANSION,
    MAX_STAGES,
    MAX_WIDTH,
    MIN_STAGES,
    BlockKind,
)
from service.shapes import PRINTABLE, ReadShape, RequestShape, ShortName

Channels = Annotated[int, Field(ge=MIN_CHANNELS, le=MAX_CHANNELS)]
Cells = Annotated[int, Field(ge=MIN_CELLS, le=MAX_CELLS)]
Operation = Annotated[str, StringConstraints(min_length=1, max_length=32, pattern=PRINTABLE)]
Pattern = Literal["unstructured", "block"]
SpaceName = Literal["dass-cells", "stages"]
DEFAULT_SPACE: SpaceName = "dass-cells"
DEFAULT_PATTERN: Pattern = "block"
DEFAULT_HELD_OUT = 4
HeldOut = Annotated[
    int, Field(ge=1, le=200, description="networks of each regime that judge the table")
]
MIN_ROWS = 50
DEFAULT_ROWS = MAX_ROWS
Rows = Annotated[
    int,
    Field(
        ge=MIN_ROWS,
        le=MAX_ROWS,
        description="operators of the space that are measured at most; fewer take less time, and the "
        "table predicts worse, as its published error says",
    ),
]
_MOST_STAGE_LAYERS = MAX_STAGES * MAX_DEPTH * 4 + 3  # stages' blocks; stem, head, classifier
EdgeShape = tuple[Operation, Annotated[int, Field(ge=0, le=NODES)]]
CellShape = Annotated[list[EdgeShape], Field(min_length=EDGES, max_length=EDGES)]
ConcatShape = Annotated[
    tuple[Annotated[int, Field(ge=0, le=NODES + 1)], ...], Field(max_length=NODES)
]


class PlanCreate(RequestShape):
    """Which space a device should be ready for."""

    device: Annotated[ShortName, Field(description="id or name")]
    dataset: Annotated[ShortName, Field(description="gives image size and classes")] = "digits"
    space: SpaceName = DEFAULT_SPACE
    channels: Annotated[Channels, Field(description="first cell, or stem before the stages")] = 16
    cells: Annotated[Cells, Field(description="of dass-cells only")] = 5
    pattern: Pattern = DEFAULT_PATTERN
    held_out: HeldOut = DEFAULT_HELD_OUT
    rows: Rows = DEFAULT_ROWS


class PlanRead(ReadShape):
    """What is missing, and the minutes that it costs."""

    device_id: str
    target_fingerprint: str
    operators: int  # of the space that a table can have rows of
    known: int  # of them, measured already
    missing: list[str]  # labels of those to measure next, the most telling first
    covered: int  # the others: interpolation between rows prices them well enough
    expected_error: float  # of a typical network, from operators without a row, as a fraction
    expected_error_after: float  # ... with those to measure next
    networks: int  # whole networks, for calibration and held out
    minutes: float


class OperatorRead(ReadShape):
    """What is known of one operator on a target."""

    key: str
    label: str
    spec: OperatorSpec
    median_ns: float
    spread_ns: float
    samples: int
    method: str
    measured_at: str
    unstable: str = ""  # why the samples say less than they should
    quarantine: str = ""  # why no table uses it


class TableRead(ReadShape):
    """A version of a table, without its rows."""

    id: str
    target_fingerprint: str
    version: int
    operators: int
    calibration: Calibration
    error: PublishedError | None
    library_calibration: Calibration | None = None  # of networks run by the operator library
    library_error: PublishedError | None = None
    networks: dict[str, list[str]]
    created_at: datetime
    withdrawn_at: datetime | None = None  # since then it is used for nothing new


class TableDetailRead(TableRead):
    """A version of a table with its rows."""

    target: dict[str, Any]
    rows: list[OperatorRead]


class WithdrawnTableRead(ReadShape):
    """A version that rested on a withdrawn device."""

    id: str
    version: int
    target_fingerprint: str
    replacement_id: str | None  # the version to use instead; none where too little remains
    replacement_version: int | None


class AffectedJobRead(ReadShape):
    """A job that used such a version."""

    id: str
    name: str
    kind: str
    state: str
    table_id: str


class WithdrawalRead(ReadShape):
    """What rested on a device whose measurements were withdrawn."""

    device_id: str
    device: str
    copies: list[str]  # other devices, under whose names files had brought the same samples
    tables: list[WithdrawnTableRead]
    jobs: list[AffectedJobRead]


class ReportQuery(RequestShape):
    """Which space a table is compared with; without a data set, with its held-out networks."""

    dataset: Annotated[ShortName | None, Field(description="gives image size and classes")] = None
    space: SpaceName = DEFAULT_SPACE
    channels: Annotated[Channels, Field(description="first cell, or stem before the stages")] = 16
    cells: Annotated[Cells, Field(description="of dass-cells only")] = 5
    pattern: Pattern = DEFAULT_PATTERN


class LayerShape(RequestShape):
    """Sparsity of one layer."""

    layer: ShortName
    pattern: SparsityPattern
    density: Annotated[float, Field(gt=0, le=1)]


class GenotypeShape(RequestShape):
    """A genotype in the form of Genotype.to_dict, with every value bounded."""

    normal: CellShape
    reduce: CellShape
    channels: Channels
    cells: Cells
    normal_concat: ConcatShape = (2, 3, 4, 5)
    reduce_concat: ConcatShape = (2, 3, 4, 5)
    layers: Annotated[tuple[LayerShape, ...], Field(max_length=MAX_CELLS * EDGES)] = ()


class StageShape(RequestShape):
    """A stage in the form of StageGenotype.to_dict; what a kind allows is checked by the genotype."""

    kind: BlockKind
    width: Annotated[int, Field(ge=1, le=MAX_WIDTH)]
    depth: Annotated[int, Field(ge=1, le=MAX_DEPTH)]
    stride: Annotated[int, Field(ge=1, le=2)] = 1
    kernel: Annotated[int, Field(ge=1, le=7)] = 3
    expansion: Annotated[int, Field(ge=1, le=MAX_EXPANSION)] = 1


class StageGenotypeShape(RequestShape):
    """A genotype in the form of StageGenotype.to_dict, with every value bounded."""

    stem: Annotated[int, Field(ge=1, le=MAX_WIDTH)]
    stages: Annotated[list[StageShape], Field(min_length=MIN_STAGES, max_length=MAX_STAGES)]
    head: Annotated[int, Field(ge=0, le=MAX_WIDTH)] = 0
    layers: Annotated[tuple[LayerShape, ...], Field(max_length=_MOST_STAGE_LAYERS)] = ()


def _space_of(genotype: Any) -> str:
    """Return whose form a genotype has, before it is checked."""
    has_stages = "stages" in genotype if isinstance(genotype, dict) else False
    return "stages" if has_stages else "dass-cells"


class PredictionCreate(RequestShape):
    """Which network, on which device."""

    device: Annotated[ShortName, Field(description="id or name")]
    dataset: Annotated[ShortName, Field(description="gives image size and classes")] = "digits"
    genotype: Annotated[
        Annotated[GenotypeShape, Tag("dass-cells")] | Annotated[StageGenotypeShape, Tag("stages")],
        Discriminator(_space_of),
    ]


class PredictionRead(ReadShape):
    """Predicted latency of one image, with a 90 % interval, and what it is made of."""

    table_id: str
    table_version: int
    target_fingerprint: str
    latency_ms: float
    low_ms: float
    high_ms: float
    measured: int  # operators with a row of their own
    transferred: int  # ... with a row that was rescaled from a similar target
    interpolated: int
    estimated: int
    assumed: int  # of a family with hardly any rows
    regime: Regime  # in which the network is that fast
