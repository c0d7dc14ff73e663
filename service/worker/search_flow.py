"""The search flow, from the order to the certificate; read it from top to bottom.

table of the device -> can the budget be met? -> search, unless the network is given
  -> up to three rounds: derive -> measure with random weights -> over budget: tighten
     -> train -> export -> measure the file itself -> over budget: tighten
     a measurement over the budget that was disturbed, or that nobody expected, is made again first
  -> the file beside its dense parent, in the same processes
  -> if asked for: controls trained, and their files measured
  -> if asked for: a front of candidates from the same supernet, measured with random weights
  -> certificate
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from service.worker import control_steps, front_steps
from service.worker import search_steps as steps
from service.worker.device_work import wait_for_device
from service.worker.flow import Flow, JobFailedError
from service.worker.space_table import ensure_table
from service.worker.stages import FRONT_STAGE, SEARCH_STAGE, StageOrder, run_stage

MOST_ROUNDS = 3


async def search_flow(flow: Flow, stage_flow: Callable[..., Any]) -> None:
    """Carry one search job to its certificate.

    Raises:
        JobFailedError: it cannot be done.
        JobStoppedError: it was cancelled.
    """
    await ensure_table(flow)
    priority = int(await flow.step(steps.check_feasible))
    training = _Training(flow=flow, stage_flow=stage_flow, priority=priority)
    rounds = 1  # a network that is given can only be taken as it is
    if not await flow.step(steps.is_given):
        await training.run(SEARCH_STAGE)
        rounds = MOST_ROUNDS
    tighten, last = 1.0, 0
    for last in range(rounds):
        tighter = await _one_round(training, last, tighten, is_last=last == rounds - 1)
        if tighter is None:
            break
        tighten = tighter
    await wait_for_device(flow, await flow.step(steps.ask_for_comparison, last))
    if await flow.step(control_steps.wants_controls):
        await training.run("controls", last, tighten)
        await measure_controls(flow, last)
    if await flow.step(front_steps.wants_front):
        await training.run(FRONT_STAGE, last, tighten)
        await measure_front(flow, last)
    await flow.step(steps.finish, last)


async def _one_round(
    training: "_Training", number: int, tighten: float, *, is_last: bool
) -> float | None:
    """Make a network; returns the factor on the budget for the next round, None when done."""
    await training.run("derive", number, tighten)
    tighter = await _measure(training.flow, steps.ask_for_graph, number)
    if tighter is not None and not is_last:
        return tighter
    await training.run("train", number, tighten)
    await training.run("export", number, tighten)
    tighter = await _measure(training.flow, steps.ask_for_model, number)
    return None if is_last else tighter


async def _measure(flow: Flow, ask: Callable[[Flow, int, int], str], number: int) -> float | None:
    units = await measure_in_tries(flow, ask, number)
    tighter: float | None = await flow.step(steps.judge, units, number)
    return tighter


async def measure_in_tries(
    flow: Flow, ask: Callable[[Flow, int, int], str], number: int
) -> list[str]:
    """Have a network measured, and again while the result is in doubt; returns the units."""
    units: list[str] = []
    while True:
        unit_id: str = await flow.step(ask, number, len(units))
        await wait_for_device(flow, unit_id)
        units = [*units, unit_id]
        if not await flow.step(steps.is_doubtful, units, number):
            return units


async def measure_controls(flow: Flow, number: int) -> None:
    """Have the file of each control measured; one that cannot be is noted, and nothing else."""
    for name in await flow.step(control_steps.control_files, number):
        unit_id: str = await flow.step(control_steps.ask_for_control, number, name)
        await _wait_or_note(flow, unit_id, f"control {name}")


async def measure_front(flow: Flow, number: int) -> None:
    """Have each candidate of the front measured; one that cannot be is noted, and nothing else."""
    for index in await flow.step(front_steps.front_candidates, number):
        unit_id: str = await flow.step(front_steps.ask_for_candidate, number, index)
        await _wait_or_note(flow, unit_id, f"candidate {index} of the front")


async def _wait_or_note(flow: Flow, unit_id: str, what: str) -> None:
    try:
        await wait_for_device(flow, unit_id)
    except JobFailedError as failure:  # the network is done all the same
        await flow.step(steps.note_unmeasured, what, failure.error)


@dataclass(frozen=True, kw_only=True)
class _Training:
    """Runs the stages of one job."""

    flow: Flow
    stage_flow: Callable[..., Any]
    priority: int

    async def run(self, stage: str, round_number: int = 0, tighten: float = 1.0) -> None:
        order = StageOrder(
            job_id=self.flow.job_id,
            attempt=self.flow.attempt,
            stage=stage,
            round_number=round_number,
            tighten=tighten,
        )
        await run_stage(self.stage_flow, order, self.priority)
