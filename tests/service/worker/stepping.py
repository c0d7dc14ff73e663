"""A flow without an engine: steps run at once, and the device works behind each question."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from service.worker.flow import Flow, unwrap


@dataclass(frozen=True, kw_only=True)
class SteppingFlow(Flow):
    """Runs each step at once; behind a step that asks the device, lets it work."""

    device: Callable[..., None]  # takes what the step was given

    async def step(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        value = unwrap(self.guarded(function, *args, **kwargs))
        if function.__name__.startswith("ask_for_"):
            self.device(*args)
        return value
