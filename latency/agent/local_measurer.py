"""The profiler of this machine, as the agent's Measurer."""

from collections.abc import Callable
from pathlib import Path

from latency.agent.spool import Measurement
from latency.measurement import Conditions, NetworkMeasurement
from latency.messages import ProfileWork, VerifyWork
from latency.profiler.batches import AGAIN
from latency.profiler.conditions import read_conditions
from latency.profiler.device import current_target
from latency.profiler.runner import run_profile, run_verify
from latency.target import RuntimeSetting, Target


class LocalMeasurer:
    """The profiler on this machine."""

    def __init__(self, setting: RuntimeSetting, again: float = AGAIN) -> None:
        """Measure with a setting of ONNX Runtime.

        Disturbed operators are tried again for `again` times as long as the first tries took.
        """
        self._setting = setting
        self._again = again

    def target(self) -> Target:
        """Return this machine with its run-time setting."""
        chosen = self._setting
        return current_target(
            chosen.threads, chosen.affinity, chosen.provider, chosen.provider_options
        )

    def conditions(self) -> Conditions:
        """Return what the machine is like now; None where unknown."""
        return read_conditions(affinity=self._setting.affinity, threads=self._setting.threads)

    def profile(
        self,
        work: ProfileWork,
        target: Target,
        on_result: Callable[[Measurement], None],
        should_stop: Callable[[], bool],
    ) -> None:
        """Time everything in `work` in child processes."""
        run_profile(work, target, on_result, should_stop, self._again)

    def verify(
        self,
        work: VerifyWork,
        model: Path | None,
        target: Target,
        should_stop: Callable[[], bool],
    ) -> NetworkMeasurement:
        """Time one network in fresh processes."""
        return run_verify(work, model, target, should_stop, self._again)
