"""JSON shapes of jobs; the client uses the same classes."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from search.compress.request import Distortion, Mapping
from search.requests import (
    MAX_CELLS,
    MAX_CHANNELS,
    MAX_DEVICES,
    MAX_FRONT,
    MAX_SEED,
    MAX_SEEDS,
    MIN_CELLS,
    MIN_CHANNELS,
    MIN_FRONT,
)
from search.space.rivals import PARENTS
from search.space.sparsity import MaskRule
from service.artifacts.schemas import ArtifactRead
from service.lifecycle import JobKind, JobState
from service.profiling.schemas import (
    DEFAULT_HELD_OUT,
    DEFAULT_PATTERN,
    DEFAULT_ROWS,
    DEFAULT_SPACE,
    HeldOut,
    Pattern,
    Rows,
    SpaceName,
)
from service.shapes import ReadShape, RequestShape, Sha256, ShortName

Channels = Annotated[int, Field(ge=MIN_CHANNELS, le=MAX_CHANNELS)]
Cells = Annotated[int, Field(ge=MIN_CELLS, le=MAX_CELLS)]
Priority = Annotated[int, Field(ge=1, le=1000, description="lower first")]
BudgetMs = Annotated[float, Field(gt=0, le=1e6, description="latency of one image")]
Recipe = Literal["tiny", "quick", "cpu", "standard", "gpu"]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
DEFAULT_PRIORITY = 10
FRONT_PICK_PATTERN = r"^[0-9a-f]{32}:[0-9]{1,2}$"
Densities = Literal["auto", "planned", "budget"]
DEFAULT_DENSITIES: Densities = "auto"
END_EVENT = "end"  # last of a stream: the job has ended; a stream without it was cut off


class AlsoOn(RequestShape):
    """One more device that a network is for, with a budget of its own."""

    device: Annotated[ShortName, Field(description="id or name")]
    budget_ms: BudgetMs


class SearchCreate(RequestShape):
    """A search for a sparse network under a latency budget on one device, or on each of several."""

    name: ShortName | None = None
    device: Annotated[ShortName, Field(description="id or name")]
    dataset: Annotated[ShortName, Field(description="name of a data set")] = "digits"
    budget_ms: BudgetMs
    also: Annotated[
        tuple[AlsoOn, ...],
        Field(
            max_length=MAX_DEVICES - 1,
            description="other devices that the same network is for; every budget is kept",
        ),
    ] = ()
    space: SpaceName = DEFAULT_SPACE
    channels: Annotated[Channels, Field(description="first cell, or stem before the stages")] = 16
    cells: Annotated[Cells, Field(description="of dass-cells only")] = 5
    density: Annotated[float, Field(gt=0, le=1, description="fraction of weights kept")] = 0.25
    pattern: Pattern = DEFAULT_PATTERN
    densities: Annotated[
        Densities,
        Field(
            description="planned: that density and pattern in all layers; budget: each layer gets "
            "its own, by its weights and the prices of the table, as the budget allows; auto: budget "
            "where one device has the operator library, else planned"
        ),
    ] = DEFAULT_DENSITIES
    recipe: Recipe = "quick"
    seed: Seed = 0
    controls: Annotated[
        bool,
        Field(
            description="also train, measure and compare what the network has to beat: a random "
            "one, a dense one, int8, random masks, each within every budget; training takes about "
            "four times as long"
        ),
    ] = False
    seeds: Annotated[
        int,
        Field(ge=1, le=MAX_SEEDS, description="trainings of the network and of each control"),
    ] = 1
    front: Annotated[
        int,
        Field(
            ge=0,
            le=MAX_FRONT,
            description=f"networks to choose from, measured but not trained: {MIN_FRONT} or more, or 0 "
            "for none",
        ),
    ] = 0
    from_front: Annotated[
        str | None,
        Field(
            pattern=FRONT_PICK_PATTERN,
            description="JOB:NUMBER, a network of the front of another search, trained as that "
            "search would have: nothing is searched; of several devices, for the same ones",
        ),
    ] = None
    specialise: Annotated[
        bool,
        Field(description="leave out the operations of cells that no device profits from"),
    ] = False
    rows: Rows = DEFAULT_ROWS
    priority: Priority = DEFAULT_PRIORITY


class ProfileCreate(RequestShape):
    """Measure what the table of a device lacks for one space."""

    name: ShortName | None = None
    device: Annotated[ShortName, Field(description="id or name")]
    dataset: Annotated[ShortName, Field(description="gives image size and classes")] = "digits"
    space: SpaceName = DEFAULT_SPACE
    channels: Annotated[Channels, Field(description="first cell, or stem before the stages")] = 16
    cells: Annotated[Cells, Field(description="of dass-cells only")] = 5
    pattern: Annotated[Pattern, Field(description="whose densities are measured")] = DEFAULT_PATTERN
    held_out: HeldOut = DEFAULT_HELD_OUT
    rows: Rows = DEFAULT_ROWS
    priority: Priority = DEFAULT_PRIORITY


class VerificationCreate(RequestShape):
    """Measure one stored ONNX file on a device."""

    name: ShortName | None = None
    device: Annotated[ShortName, Field(description="id or name")]
    artifact_sha256: Sha256
    budget_ms: Annotated[float | None, Field(gt=0, le=1e6)] = None
    processes: Annotated[int, Field(ge=1, le=25, description="fresh processes")] = 5
    priority: Priority = DEFAULT_PRIORITY


class DistillationShape(RequestShape):
    """How much is learnt from the dense network."""

    weight: Annotated[float, Field(gt=0, le=1)] = 0.5
    temperature: Annotated[float, Field(gt=0, le=100)] = 4.0


class CompressionCreate(RequestShape):
    """A network that exists, to be fitted to a latency budget on one device."""

    name: ShortName | None = None
    device: Annotated[ShortName, Field(description="id or name")]
    dataset: Annotated[ShortName, Field(description="name of a data set")] = "digits"
    budget_ms: BudgetMs
    network: Annotated[
        ShortName,
        Field(
            description=f"{', '.join(PARENTS)}, which are trained first; or the SHA-256 of a stored "
            "ONNX file with its weights, see POST /v1/artifacts"
        ),
    ]
    width: Annotated[
        float, Field(gt=0, le=8, description="of a built-in network: all channels times this")
    ] = 1.0
    recipe: Recipe = "quick"
    distortion: Annotated[
        Distortion, Field(description="by what a plan judges how much a layer loses")
    ] = Distortion.ENERGY
    mapping: Annotated[
        Mapping, Field(description="who chooses patterns and densities of the layers")
    ] = Mapping.SEARCH
    mask_rule: Annotated[MaskRule, Field(description="how weights leave")] = MaskRule.HARD
    distillation: Annotated[
        DistillationShape | None,
        Field(description="learn from the dense network as well; null: from the labels alone"),
    ] = None
    learning_rate: Annotated[
        float | None,
        Field(gt=0, le=100, description="peak of the fine-tuning; null: a tenth of the recipe's"),
    ] = None
    seed: Seed = 0
    rows: Rows = DEFAULT_ROWS
    priority: Priority = DEFAULT_PRIORITY


class QuarantinedRead(ReadShape):
    """A measurement of a file that is kept and not used."""

    what: str  # label of the operator, or name of the network
    device: str
    reason: str


class ImportRead(ReadShape):
    """What became of an imported file."""

    job_id: str
    devices: list[str]  # names, here
    operators: int  # in the file
    operators_taken: int  # the others failed on the board, or are in quarantine
    networks: int  # whole networks in the file
    networks_taken: int
    quarantined: int  # measurements
    reasons: list[QuarantinedRead]  # of the first ones; GET /v1/operators?quarantined=true has all
    table_id: str | None  # None: without whole networks it counts in the next version
    table_version: int | None
    rows_differing: int | None  # of an imported table: rows whose cost comes out differently here


class JobRead(ReadShape):
    """A job and how far it is."""

    id: str
    name: str
    kind: JobKind
    state: JobState
    request: dict[str, Any]
    device_id: str | None
    table_id: str | None
    progress: dict[str, Any] | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    priority: int
    attempt: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class JobEventRead(ReadShape):
    """One thing that happened to a job; numbers have no gaps."""

    number: int
    kind: str
    payload: dict[str, Any]
    created_at: datetime


class CandidateRead(ReadShape):
    """A network that a search found or a compression made, with everything that was measured about it."""

    job_id: str
    genotype: dict[str, Any]
    certificate: dict[str, Any]
    artifacts: list[ArtifactRead]
