"""What an agent and the service say to each other. Version 1; both sides use these classes.

An agent only ever calls: register, claim, heartbeat, upload a chunk, finish. Protocol rules:

- A claim carries a `claim_id` made by the agent. The same id, or a claim by an agent that already
  holds an unfinished lease, gets the same lease back: a lost response costs nothing.
- A lease expires by the server's clock; `attempt` is the fencing token of the work unit.
- Chunks are idempotent by (lease, index, digest). `finish` names the digest of all chunk digests.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from latency.graph import NetworkGraph
from latency.measurement import (
    NO_RIVALS,
    Conditions,
    NetworkMeasurement,
    OperatorMeasurement,
    Rivals,
)
from latency.operator import OperatorSpec
from latency.target import Target

PROTOCOL_VERSION = 1
MAX_CHUNK_ROWS = 2_000

# The name of a network that is timed for a table begins with what it is for.
CALIBRATION = "calibration"
HELD_OUT = "held-out"


class WorkKind(StrEnum):
    """What a device can be asked to do."""

    PROFILE = "profile"  # time operators and whole networks built from graphs
    VERIFY = "verify"  # time one network in fresh processes: an ONNX artifact or a graph


class Outcome(StrEnum):
    """How an attempt ended, as the agent saw it."""

    DONE = "done"
    FAILED = "failed"  # the measurement itself could not be made; `reason` says why


@dataclass(frozen=True, kw_only=True)
class Registration:
    """First message of an agent, with its enrolment token: who it is."""

    name: str
    target: Target
    agent_version: str
    protocol: int = PROTOCOL_VERSION


@dataclass(frozen=True, kw_only=True)
class Registered:
    """Answer: the device's id and its own token, shown once."""

    device_id: str
    token: str


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Ask for work. The target is sent anew, so that a changed device is noticed at once."""

    claim_id: str  # UUID made by the agent; the same for a repeated request
    target: Target


@dataclass(frozen=True, kw_only=True)
class NamedGraph:
    """A network to build with random weights and time."""

    name: str
    graph: NetworkGraph


@dataclass(frozen=True, kw_only=True)
class ProfileWork:
    """Operators and whole networks to time."""

    operators: tuple[OperatorSpec, ...]
    networks: tuple[NamedGraph, ...] = ()
    rounds: int = 15  # interleaved rounds per operator
    processes: int = 3  # per whole network


@dataclass(frozen=True, kw_only=True)
class VerifyWork:
    """One network to time in fresh processes: exactly one of `artifact_sha256` and `graph`."""

    name: str
    artifact_sha256: str = ""
    graph: NetworkGraph | None = None
    processes: int = 5
    rivals: Rivals = NO_RIVALS


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A work unit handed to a device for a limited time."""

    lease_id: str
    attempt: int
    kind: WorkKind
    expires_in_s: float
    heartbeat_every_s: float
    profile: ProfileWork | None = None
    verify: VerifyWork | None = None


@dataclass(frozen=True, kw_only=True)
class ClaimAnswer:
    """A lease, or how long to wait before asking again."""

    lease: Lease | None
    poll_again_in_s: float


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """The agent is alive and this far."""

    attempt: int
    done: int  # measurements finished
    total: int


@dataclass(frozen=True, kw_only=True)
class HeartbeatAnswer:
    """Whether to go on. `cancelled` means: stop, drop the results, ask for new work."""

    cancelled: bool
    expires_in_s: float
    server_time: str


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Part of the results of one attempt; at most MAX_CHUNK_ROWS measurements in all."""

    attempt: int
    conditions: Conditions  # before the first measurement
    operators: tuple[OperatorMeasurement, ...] = ()
    networks: tuple[NetworkMeasurement, ...] = ()
    conditions_after: Conditions | None = None  # behind the last one


@dataclass(frozen=True, kw_only=True)
class Finish:
    """All chunks are uploaded. `digest` is the SHA-256 of the chunk digests, in order, joined."""

    attempt: int
    outcome: Outcome
    chunks: int
    digest: str
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class FinishAnswer:
    """The server holds everything durably; the agent may drop its copy."""

    digest: str


@dataclass(frozen=True, kw_only=True)
class Problem:
    """RFC 9457 problem detail, as the service sends it with every error."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool
    extra: dict[str, Any] | None = None
