"""The agent's view of the profiler: what a job needs of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from latency.agent.spool import Measurement
from latency.measurement import Conditions, NetworkMeasurement
from latency.messages import ProfileWork, VerifyWork
from latency.target import Target


class Measurer(Protocol):
    """Something that times operators and networks in child processes."""

    def target(self) -> Target:
        """Return the device as it is now."""
        ...

    def conditions(self) -> Conditions:
        """Return what the machine is like now."""
        ...

    def profile(
        self,
        work: ProfileWork,
        target: Target,
        on_result: Callable[[Measurement], None],
        should_stop: Callable[[], bool],
    ) -> None:
        """Time everything in `work`, handing over each measurement as soon as it is there."""
        ...

    def verify(
        self,
        work: VerifyWork,
        model: Path | None,
        target: Target,
        should_stop: Callable[[], bool],
    ) -> NetworkMeasurement:
        """Time the network of `work`: the file `model`, or the graph where that is None."""
        ...
