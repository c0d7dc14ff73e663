"""The agent's few settings: where its state lies, how patient it is, how often it uploads."""

import math
import os
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from latency.agent.retry import Patience
from latency.agent.stop import StopSignal
from latency.profiler.batches import AGAIN

STATE_DIR_VARIABLE = "EDGEWRIGHT_AGENT_DIR"
ENROL_TOKEN_VARIABLE = "EDGEWRIGHT_ENROL_TOKEN"  # noqa: S105  a variable's name, no secret


@dataclass(frozen=True, kw_only=True)
class AgentSettings:
    """How the agent behaves. Poll and heartbeat intervals are the server's to say."""

    chunk_rows: int = 50  # measurements in a chunk before it is uploaded
    chunk_seconds: float = 10.0  # or its age
    connect_timeout_s: float = 5.0
    answer_timeout_s: float = 15.0
    backoff_first_s: float = 0.5  # longest wait before the second try; doubles with each further
    backoff_longest_s: float = 60.0
    upload_pause_s: float = 30.0  # while measuring: a server that is away must cost no device time
    join_patience_s: float = 30.0  # a person waits for `join`
    max_model_bytes: int = 1 << 30
    cached_models: int = 8
    ca_file: str = ""  # certificates of authorities beside the system's own
    again: float = AGAIN  # patience with a busy machine, see `OperatorRun`

    def patience(self, stop: StopSignal, give_up_after_s: float = math.inf) -> Patience:
        """Return how to repeat one request until `stop`."""
        return Patience(
            stop=stop,
            give_up_after_s=give_up_after_s,
            first_s=self.backoff_first_s,
            longest_s=self.backoff_longest_s,
        )


def default_state_dir() -> Path:
    """Return EDGEWRIGHT_AGENT_DIR, or a folder under the user's state directory."""
    if given := os.environ.get(STATE_DIR_VARIABLE):
        return Path(given)
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "edgewright-agent"


def agent_version() -> str:
    """Return the version of the installed distribution; `unknown` in a bare source tree."""
    try:
        return version("edgewright")
    except PackageNotFoundError:
        return "unknown"
